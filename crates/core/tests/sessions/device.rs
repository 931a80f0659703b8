//! Device with a toy model: does what its session asks, all but the network.

use tricorn_core::{
    Action, AppendHeader, Branch, Choice, DeepHeader, DeepUse, DeviceSession, Draft, Judgement,
    Sampler, SessionConfig,
};

use crate::sessions::model::{Layers, Model};

pub(crate) struct Device {
    pub(crate) model: Model,
    pub(crate) session: DeviceSession,
    pub(crate) config: SessionConfig,
    /// The turn's, with the prompt it is for.
    sampler: Option<(Vec<u32>, Sampler)>,
    input: Layers,
    output: Layers,
}

/// What a device did, or wants the network to do.
pub(crate) enum Step {
    /// It asks for a connection.
    Connect,
    /// It has computed the rows of an append, which is to be sent.
    Append(AppendHeader, Vec<u64>),
    /// It has run its drafter on so many continuations at once.
    Draft(usize),
    /// There is nothing to do.
    Idle,
}

impl Device {
    pub(crate) fn new(model: Model, config: SessionConfig) -> Self {
        Self {
            model,
            session: DeviceSession::new(config),
            config,
            sampler: None,
            input: Layers::default(),
            output: Layers::default(),
        }
    }

    /// Does what the session asks.
    pub(crate) fn step(&mut self) -> Step {
        let action = self.session.poll();
        if !matches!(action, Action::Append(_)) {
            assert_eq!(self.session.poll(), action, "poll is idempotent");
        }
        match action {
            Action::Connect => Step::Connect,
            Action::Draft { pos } => {
                let draft = self.sample(|model, sampler, session, prompt| {
                    model.draft(sampler, session.tokens_at(0, pos), prompt)
                });
                self.session.drafted(draft);
                Step::Draft(1)
            }
            Action::Guess { pos } => {
                assert!(self.session.awaits_answers(), "nothing is out");
                let guesses = self.sample(|model, sampler, session, prompt| {
                    model.guesses(sampler, session.tokens_at(0, pos), prompt)
                });
                self.session.guessed(guesses);
                Step::Draft(1)
            }
            Action::Branch => {
                let branches =
                    self.session.open_branches().map(|index| &self.session.branches()[index]);
                let paths: Vec<Vec<u32>> = branches.map(|branch| self.tokens_of(branch)).collect();
                let drafts: Vec<Draft> = paths
                    .iter()
                    .map(|path| {
                        self.sample(|model, sampler, _, prompt| model.draft(sampler, path, prompt))
                    })
                    .collect();
                assert!(!drafts.is_empty());
                let branches = drafts.len();
                self.session.branched(drafts);
                Step::Draft(branches)
            }
            Action::Append(header) => {
                let tokens = self.session.tokens_at(header.pos, header.rows);
                assert_eq!(tokens.len(), header.rows);
                let rows = self.input.forward_at(header.pos, &self.model.embed(tokens));
                Step::Append(header, rows)
            }
            Action::Wait | Action::Finished(_) => Step::Idle,
        }
    }

    /// An answer arrives over the connection that is open.
    pub(crate) fn answered(&mut self, header: DeepHeader, mut rows: Vec<u64>) {
        let use_of = self.session.deep(header).expect("answers match");
        if self.config.output_layers > 0
            && matches!(use_of, DeepUse::Extend | DeepUse::Judge { .. })
        {
            rows = self.output.forward_at(header.first_row_pos, &rows);
        }
        if let DeepUse::Judge { first_row, pos } = use_of {
            self.judge(pos, &rows[first_row..]);
        }
    }

    fn judge(&mut self, pos: usize, rows: &[u64]) {
        let branches = self.session.branches().to_vec();
        for (index, (pos, &row)) in (pos..).zip(rows).enumerate() {
            assert_eq!(pos, self.session.tokens().len());
            let Choice { token, ends, .. } = self.sample(|model, sampler, session, _| {
                model.target(sampler, row, session.generated())
            });
            match if ends { self.session.judge_last(token) } else { self.session.judge(token) } {
                Judgement::Accepted => assert!(index + 1 < rows.len(), "no row is left"),
                Judgement::Pending => {
                    assert_eq!(index + 1, rows.len(), "a row is left");
                    return;
                }
                Judgement::Settled { branch: None } => {
                    assert!(self.session.drafts().is_empty());
                    break;
                }
                Judgement::Settled { branch: Some(branch) } => {
                    let branch = &branches[branch];
                    assert_eq!((branch.pos, branch.token), (pos, token));
                    let drafts: Vec<u32> = branch.drafts.iter().map(|draft| draft.token).collect();
                    assert!(
                        drafts.starts_with(self.session.drafts())
                            && self.session.finished().is_none()
                    );
                    break;
                }
            }
        }
        assert_eq!(
            self.session.judge(0),
            Judgement::Settled { branch: None },
            "a round has as many rows as it needs"
        );
    }

    /// Asks the turn's sampler, which is one and the same for drafts, continuations and target.
    fn sample<T>(
        &mut self,
        ask: impl FnOnce(&Model, &mut Sampler, &DeviceSession, usize) -> T,
    ) -> T {
        let prompt = self.session.tokens().len() - self.session.generated().len();
        let prompt = &self.session.tokens()[..prompt];
        let held = self.sampler.take().filter(|(held, _)| held == prompt);
        let (_, sampler) = self
            .sampler
            .insert(held.unwrap_or_else(|| (prompt.to_vec(), self.model.sampler(prompt))));
        ask(&self.model, sampler, &self.session, prompt.len())
    }

    /// The whole sequence up to a continuation's last draft.
    fn tokens_of(&self, branch: &Branch) -> Vec<u32> {
        let mut tokens = self.session.tokens_at(0, branch.pos).to_vec();
        assert_eq!(tokens.len(), branch.pos);
        tokens.push(branch.token);
        tokens.extend(branch.drafts.iter().map(|draft| draft.token));
        tokens
    }
}

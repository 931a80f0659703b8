//! An endpoint whose program ends with it, as `tricorn device` does.

use crate::support::{LIMIT, demo, events, within};
use serde_json::json;
use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot};
use tricorn_api::{Service, ServiceConfig, serve};
use tricorn_core::{AppendHeader, AppendKind, DraftPolicy};
use tricorn_device::{
    EngineConfig, LocalTransport, Transport, TransportError, transport::TransportWrapper,
};

/// Holds a step up.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    reached: bool,
    open: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.reached = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, LIMIT, |state| !state.open).unwrap());
    }

    fn reached(&self) {
        drop(
            self.changed
                .wait_timeout_while(self.state.lock().unwrap(), LIMIT, |state| !state.reached)
                .unwrap(),
        );
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

/// A link whose second verification takes as long as the gate is shut, whatever else happens: a
/// long step.
#[derive(Debug)]
struct LongStep {
    transport: LocalTransport,
    gate: Arc<Gate>,
    verified: usize,
}

impl TransportWrapper for LongStep {
    type Inner = LocalTransport;

    fn inner(&self) -> &LocalTransport {
        &self.transport
    }

    fn inner_mut(&mut self) -> &mut LocalTransport {
        &mut self.transport
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        self.verified += usize::from(header.kind == AppendKind::Verify);
        if self.verified == 2 {
            self.gate.pass();
        }
        self.transport.send(header, rows)
    }
}

#[test]
fn the_last_word_is_written_even_where_a_step_outlasts_the_drain() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let (tell, told) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let program = thread::spawn(move || {
        let transport =
            move |transport| LongStep { transport, gate: Arc::clone(&held), verified: 0 };
        let engine =
            demo().start_over(EngineConfig { slots: 1, ..EngineConfig::default() }, transport);
        let mut config = ServiceConfig::new("demo", DraftPolicy::default());
        config.limits.drain = Duration::from_millis(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Service::new(engine, config), async { drop(stopped.await) })
                .await
                .unwrap();
        });
        // What is not written by now never is.
        drop(runtime);
    });
    let address = told.recv().unwrap();
    within(async {
        let messages = json!([{ "role": "user", "content": "Hello" }]);
        let body = json!({
            "model": "demo",
            "messages": messages,
            "max_tokens": 200,
            "temperature": 0,
            "stream": true,
            "stop": "\u{1F984}",
        });
        let mut stream = events(address, "/v1/chat/completions", &body).await;
        gate.reached();
        drop(stop);
        // Longer than the drain: the step is what the end waits for.
        tokio::time::sleep(Duration::from_millis(200)).await;
        gate.open();
        let mut last = String::new();
        while let Some(data) = stream.next().await {
            last = data;
        }
        assert!(last.contains("shutting_down"), "{last}");
    });
    program.join().unwrap();
}

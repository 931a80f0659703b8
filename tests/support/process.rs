//! The binary as a child process: bounded in time, and gone when the test is.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Far more than anything here takes; only a test that fails waits for so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The binary with these arguments.
pub(crate) fn tricorn<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tricorn"));
    command.args(arguments);
    command
}

/// Runs the binary to its end.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    run_with_input(&mut tricorn(arguments), b"")
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Finished {
    let mut running = Running::spawn(command);
    running.say(input);
    running.close_stdin();
    running.finish()
}

/// Asks again and again until the answer is there.
pub(crate) fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = answer() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A process under way; dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let (stdout, stderr) =
            (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, stdin, stdout, stderr }
    }

    /// Writes to its standard input; a process that reads no more is a matter for later checks.
    pub(crate) fn say(&mut self, input: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(input).and_then(|()| stdin.flush());
        }
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        match self.stdout.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(error) => {
                let status = self.child.try_wait();
                panic!(
                    "no line on standard output: {error}; process {status:?}, standard error: {}",
                    rest(&self.stderr)
                )
            }
        }
    }

    /// The next line of its standard error.
    pub(crate) fn error_line(&mut self) -> String {
        self.stderr.recv_timeout(LIMIT).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(send(signal, &self.child.id().to_string()), "cannot send {signal}");
    }

    /// Stops it where it stands, and returns when none of its threads runs on.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        // One thread takes the signal and stops the others; on a busy machine it may wait for its
        // turn while they go on.
        let tasks = format!("/proc/{}/task", self.id());
        let deadline = Instant::now() + LIMIT;
        while fs::read_dir(&tasks).is_ok_and(|mut tasks| {
            tasks.any(|task| task.is_ok_and(|task| !is_stopped(&task.path())))
        }) {
            assert!(Instant::now() < deadline, "the process does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a process is left in the group that this one leads.
    pub(crate) fn group_is_alive(id: u32) -> bool {
        send("0", &format!("-{id}"))
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        Finished { code: status.code(), stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Its one line of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Its last line of JSON, of many.
    #[track_caller]
    pub(crate) fn last_json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }

    /// The one line of an error that ended it with `code` and nothing on standard output.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert!(
            self.stderr.starts_with("error: ") && self.stderr.lines().count() == 1,
            "not one line of error: {self:?}"
        );
        self.stderr.trim_end()
    }
}

/// Sends a signal to a process, or with a minus sign to a group, with the shell's own command: not
/// every machine has a separate one.
fn send(signal: &str, id: &str) -> bool {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, id])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    shell.status().unwrap().success()
}

/// Reads a stream to its end, line by line, so that the process never waits for a reader.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// All that is still to come.
fn rest(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => text.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => return text,
            Err(RecvTimeoutError::Timeout) => panic!("the stream does not end after {text:?}"),
        }
    }
}

/// Whether a thread, by its folder in Linux's /proc, is stopped or gone.
fn is_stopped(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
}

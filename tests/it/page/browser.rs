//! A browser that tests talk to in the DevTools protocol, over pipes: no port, no server and no crate,
//! since those that speak the protocol bring licences or a runtime that the project does without.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine;
use serde_json::{Value, json};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// One page in a browser of its own.
pub(super) struct Browser {
    child: Child,
    to: RefCell<ChildStdin>,
    from: RefCell<BufReader<ChildStdout>>,
    /// Answers and events have a number each, the last one that was asked under.
    last: RefCell<u64>,
    session: String,
    events: RefCell<Vec<Value>>,
    _profile: tempfile::TempDir,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).flat_map(|dir| NAMES.map(|name| dir.join(name)));
    files.find(|file| file.is_file())
}

impl Browser {
    /// `None` where there is no browser, which continuous integration does not accept.
    pub(super) fn start() -> Option<Browser> {
        let Some(program) = program() else {
            assert!(std::env::var_os("PROBECARD_REQUIRE_BROWSER").is_none(), "no browser");
            eprintln!("skipped: no browser ({}) on the PATH", NAMES.join(", "));
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // The browser reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = RefCell::new(child.stdin.take().unwrap());
        let from = RefCell::new(BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Browser {
            child,
            to,
            from,
            last: RefCell::new(0),
            session: String::new(),
            events: RefCell::new(Vec::new()),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Asks, and waits for the answer; what happens meanwhile is kept.
    pub(super) fn call(&self, method: &str, params: Value) -> Value {
        *self.last.borrow_mut() += 1;
        let id = *self.last.borrow();
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut to = self.to.borrow_mut();
        to.write_all(format!("{message}\0").as_bytes()).unwrap();
        to.flush().unwrap();
        loop {
            let message = self.read();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.borrow_mut().push(message);
        }
    }

    fn read(&self) -> Value {
        let mut bytes = Vec::new();
        self.from.borrow_mut().read_until(0, &mut bytes).unwrap();
        assert!(bytes.pop() == Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Loads a file, waits until its fonts are there, and returns what went wrong or left the page:
    /// console errors, exceptions, dialogs, requests to anything but the file itself.
    pub(super) fn open(&self, file: &Path) -> Vec<String> {
        self.events.borrow_mut().clear();
        let url = format!("file://{}", file.display());
        self.call("Page.navigate", json!({ "url": url }));
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.borrow().iter().any(loaded) {
            let event = self.read();
            self.events.borrow_mut().push(event);
        }
        self.value("Promise.all([...document.fonts].map(f => f.load())).then(() => 0)");
        let wrong = |event: &Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Page.javascriptDialogOpening" => true,
            "Runtime.consoleAPICalled" => event["params"]["type"] == "error",
            "Network.requestWillBeSent" => {
                let asked = event["params"]["request"]["url"].as_str().unwrap_or_default();
                asked != url && !asked.starts_with("data:")
            }
            _ => false,
        };
        let events = self.events.borrow();
        events.iter().filter(|event| wrong(event)).map(ToString::to_string).collect()
    }

    /// What an expression comes to, a promise after it is kept.
    pub(super) fn value(&self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", ask);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The window's width, and which colours its user likes.
    pub(super) fn look(&self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.media("", scheme);
    }

    /// `screen` or `print`; empty for what it is.
    pub(super) fn media(&self, media: &str, scheme: &str) {
        let colors = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": colors }));
    }

    /// Presses and lets go of a key.
    pub(super) fn press(&self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The whole page as PNG.
    pub(super) fn picture(&self) -> Vec<u8> {
        decoded(&self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true })))
    }

    /// The page as it is printed.
    pub(super) fn printed(&self) -> Vec<u8> {
        decoded(&self.call("Page.printToPDF", json!({ "preferCSSPageSize": true })))
    }
}

fn decoded(answer: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

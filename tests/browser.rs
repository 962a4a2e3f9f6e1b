//! The pages in a headless Chromium, as a reader has them: phone and desk, light and dark, with scripts and without. No
//! console error, no request, every plot drawn, nothing wider than the screen, sorting and hiding by mouse and keyboard.
//!
//! Chromium is spoken to over the two pipes of its `--remote-debugging-pipe`: JSON messages that end in a zero byte.
//! `ROLLCAST_SCREENSHOTS` names a directory for screenshots and the printed pages.

#![cfg(all(feature = "simulator", unix))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::root;
use serde_json::{Value, json};

/// A Chromium with one page.
struct Browser {
    child: Child,
    send: File,
    receive: BufReader<File>,
    session: String,
    number: u64,
    /// What happened between two answers.
    events: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// None where there is no Chromium.
    fn start() -> Option<Self> {
        let name = ["chromium", "chromium-browser", "google-chrome"];
        let found = name.into_iter().find(|name| {
            let mut ask = Command::new(name);
            ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            ask.status().is_ok_and(|status| status.success())
        })?;
        let folder = tempfile::tempdir().unwrap();
        // Descriptors 3 and 4, which only a shell can give without `unsafe`: through named pipes. Opened for reading and
        // writing, so that neither side waits for the other.
        let shell = format!(
            "mkfifo in out && exec 3<>in 4<>out && exec {found} --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
             --disable-background-networking --remote-debugging-pipe --user-data-dir=profile about:blank"
        );
        let child = Command::new("bash")
            .args(["-c", &shell])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = |name: &str| -> File {
            let path = folder.path().join(name);
            while !path.exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            File::options().read(true).write(true).open(path).unwrap()
        };
        let (send, receive) = (pipe("in"), BufReader::new(pipe("out")));
        let mut browser = Browser {
            child,
            send,
            receive,
            session: String::new(),
            number: 0,
            events: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach);
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// One command and its answer.
    #[expect(clippy::needless_pass_by_value, reason = "callers write the parameters in place")]
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.send.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.next();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        self.receive.read_until(0, &mut message).unwrap();
        message.pop();
        serde_json::from_slice(&message).unwrap()
    }

    /// Opens a page, and waits until it is there; what happened meanwhile.
    fn open(&mut self, page: &Path) -> Vec<Value> {
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
        self.events.clone()
    }

    /// Looks like a screen.
    fn screen(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// The value of an expression, or of the promise that it is.
    fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    fn key(&mut self, key: &str, text: &str) {
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let parameters = json!({ "type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": if key == "Enter" { 13 } else { 32 } });
            self.ask("Input.dispatchKeyEvent", parameters);
        }
    }

    /// Keeps a picture where pictures are asked for.
    fn keep(&mut self, name: &str, method: &str, parameters: Value) {
        let Some(folder) = std::env::var_os("ROLLCAST_SCREENSHOTS").map(PathBuf::from) else { return };
        let data = self.ask(method, parameters)["data"].as_str().unwrap().to_owned();
        fs::create_dir_all(&folder).unwrap();
        let mut decode = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(File::create(folder.join(name)).unwrap())
            .spawn()
            .unwrap();
        decode.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
        assert!(decode.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is wrong with the plots that are to be seen, and how many are.
const PLOTS: &str = r#"(function () {
  var wrong = [], seen = 0;
  document.querySelectorAll("figure").forEach(function (figure) {
    var title = figure.querySelector("svg title").textContent, shown = 0;
    figure.querySelectorAll("svg").forEach(function (svg) {
      var box = svg.getBoundingClientRect();
      if (box.width === 0) return;
      shown++;
      var page = document.documentElement.clientWidth;
      if (box.left < 0 || box.right > page + 0.5) wrong.push(title + ": outside the page");
      var texts = [].slice.call(svg.querySelectorAll("text")).map(function (text) {
        var at = text.getBoundingClientRect(), size = parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width;
        if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1)
          wrong.push(title + ": text cut off: " + text.textContent);
        if (size < 9) wrong.push(title + ": text of " + size.toFixed(1) + " px: " + text.textContent);
        if (getComputedStyle(text).fill === getComputedStyle(document.body).backgroundColor) wrong.push(title + ": text in the page's colour");
        return at;
      });
      texts.forEach(function (a, i) {
        texts.slice(i + 1).forEach(function (b, j) {
          // A letter's box is higher than the letter.
          if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5)
            wrong.push(title + ": texts overlap: " + svg.querySelectorAll("text")[i].textContent + " | " + svg.querySelectorAll("text")[i + 1 + j].textContent);
        });
      });
      var marks = [].slice.call(svg.querySelectorAll("g rect, g circle, g polyline, g line")).filter(function (mark) {
        var at = mark.getBoundingClientRect(), style = getComputedStyle(mark);
        return at.width + at.height > 1 && style.display !== "none" && at.right <= box.right + 2 && at.left >= box.left - 2;
      });
      if (texts.length < 3) wrong.push(title + ": " + texts.length + " texts");
      if (marks.length < 1) wrong.push(title + ": no marks");
    });
    if (shown !== 1) wrong.push(title + ": " + shown + " drawings are shown");
    seen += shown;
  });
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push("wider than the page");
  return { wrong: wrong, seen: seen };
})()"#;

/// Contrast of text and of series with the page, by WCAG's formula: those that are too low.
const CONTRAST: &str = r#"(function () {
  var light = function (color) {
    var parts = color.match(/[\d.]+/g).slice(0, 3).map(function (c) { c /= 255; return c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4); });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  var ratio = function (a, b) { a = light(a); b = light(b); return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };
  var page = getComputedStyle(document.body).backgroundColor, low = [];
  var check = function (selector, property, least) {
    document.querySelectorAll(selector).forEach(function (element) {
      var found = ratio(getComputedStyle(element)[property], page);
      if (found < least) low.push(selector + " " + found.toFixed(2));
    });
  };
  check("p, h1, h2, h3, li, td, th, caption, figcaption, a, .key", "color", 4.5);
  check("svg text", "fill", 4.5);
  check(".key i", "backgroundColor", 2.0);
  return low.filter(function (text, at) { return low.indexOf(text) === at; });
})()"#;

/// Sorts the longest table by its second column, once up and once down: whether the rows follow.
const SORTS: &str = r#"(function () {
  var table = [].slice.call(document.querySelectorAll("table")).sort(function (a, b) { return b.tBodies[0].rows.length - a.tBodies[0].rows.length; })[0];
  var head = [].slice.call(table.tHead.rows[0].cells).filter(function (cell) { return cell.className === "n"; }).pop();
  var values = function () { return [].slice.call(table.tBodies[0].rows).map(function (row) { return parseFloat(row.cells[head.cellIndex].textContent.replace("$", "")); }).filter(function (x) { return !isNaN(x); }); };
  var is = function (sign) { return values().every(function (x, i, all) { return i === 0 || sign * (x - all[i - 1]) >= 0; }); };
  head.firstChild.click(); var up = is(1) && head.getAttribute("aria-sort") === "ascending";
  head.firstChild.click(); var down = is(-1) && head.getAttribute("aria-sort") === "descending";
  return { up: up, down: down, rows: values().length, table: table.caption.textContent };
})()"#;

/// Pages: the examples, and one whose generation runs ahead.
fn pages(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let example = |name: &str| root().join("reports/example").join(name);
    let pool = "{ device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }";
    let text = common::small(&[
        ("cluster: {", "pools: { generation: POOL, training: {"),
        ("usd_per_gpu_hour: 2.5 }\n", "usd_per_gpu_hour: 2.5 } }\n"),
        ("POOL", pool),
        ("loop: {", "loop: { mode: async, max_staleness: 2, interrupt: keep_kv, "),
        ("rl_steps: 2", "rl_steps: 8\nwarmup_steps: 2"),
    ]);
    let page = folder.join("ahead.html");
    fs::write(&page, rollcast::report::run_page(&common::forecast(&text, &[]).unwrap().result)).unwrap();
    vec![("forecast", example("forecast.html")), ("sweep", example("sweep.html")), ("ahead", page)]
}

#[test]
fn pages_are_whole_on_every_screen() {
    let Some(mut browser) = Browser::start() else {
        eprintln!("SKIPPED: no chromium here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, page) in pages(folder.path()) {
        for width in [360, 1440] {
            for scheme in ["light", "dark"] {
                let at = format!("{name} at {width} px, {scheme}");
                browser.screen(width, scheme);
                let events = browser.open(&page);
                let requests: Vec<&Value> = events
                    .iter()
                    .filter(|event| event["method"] == "Network.requestWillBeSent")
                    .map(|event| &event["params"]["request"]["url"])
                    .collect();
                assert_eq!(requests.len(), 1, "{at}: nothing but the page is fetched: {requests:?}");
                let told = |method: &str| events.iter().find(|event| event["method"] == method);
                for method in ["Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"] {
                    assert!(told(method).is_none(), "{at}: {:?}", told(method));
                }
                assert_eq!(browser.value("document.documentElement.clientWidth"), width);
                let plots = browser.value(PLOTS);
                assert_eq!(plots["wrong"], json!([]), "{at}");
                assert!(plots["seen"].as_u64().unwrap() >= 2, "{at}: {plots}");
                assert_eq!(browser.value(CONTRAST), json!([]), "{at}");
                let picture = json!({ "format": "png", "captureBeyondViewport": true });
                browser.keep(&format!("{name}-{width}-{scheme}.png"), "Page.captureScreenshot", picture);
                let sorted = browser.value(SORTS);
                assert!(sorted["up"] == true && sorted["down"] == true, "{at}: {sorted}");
                assert!(sorted["rows"].as_u64().unwrap() >= 3, "{at}: {sorted}");
            }
        }
        let print = json!({ "printBackground": false, "preferCSSPageSize": true });
        browser.screen(1440, "light");
        browser.open(&page);
        browser.keep(&format!("{name}.pdf"), "Page.printToPDF", print);
    }
}

#[test]
fn series_hide_and_tables_sort_by_keyboard() {
    let Some(mut browser) = Browser::start() else {
        eprintln!("SKIPPED: no chromium here");
        return;
    };
    browser.screen(1440, "light");
    browser.open(&root().join("reports/example/forecast.html"));
    let hidden = "getComputedStyle(document.querySelector('#tail .wide g.g1')).display === 'none'";
    assert_eq!(browser.value(hidden), false);
    browser.value("document.querySelector('#tail .key[data-g=\"1\"]').focus()");
    browser.key(" ", " ");
    assert_eq!(browser.value(hidden), true, "the blank key hides a series");
    assert_eq!(browser.value("document.activeElement.getAttribute('aria-pressed')"), "false");
    browser.key("Enter", "\r");
    assert_eq!(browser.value(hidden), false, "and Enter shows it again");
    browser.value("document.querySelector('#sensitivity th:nth-child(3) button').focus()");
    browser.key("Enter", "\r");
    assert_eq!(browser.value("document.activeElement.closest('th').getAttribute('aria-sort')"), "ascending");
    browser.value("document.querySelector('#assumptions input').focus()");
    let rows = "[].slice.call(document.querySelectorAll('#assumptions tbody tr')).filter(function (row) { return !row.hidden; }).length";
    let all = browser.value(rows).as_u64().unwrap();
    browser.ask("Input.insertText", json!({ "text": "graph" }));
    let few = browser.value(rows).as_u64().unwrap();
    assert!(0 < few && few < all, "{few} of {all} rows");
}

#[test]
fn without_scripts_every_figure_is_there() {
    let Some(mut browser) = Browser::start() else {
        eprintln!("SKIPPED: no chromium here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, page) in pages(folder.path()) {
        browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        browser.screen(360, "dark");
        browser.open(&page);
        // Evaluation from outside is not the page's script.
        let buttons = browser.value("document.querySelectorAll('[role=button], button, input').length");
        assert_eq!(buttons, 0, "{name}: the page's script ran");
        let plots = browser.value(PLOTS);
        assert_eq!(plots["wrong"], json!([]), "{name}");
        let text = "document.body.innerText";
        let shown = browser.value(&format!("{text}.length")).as_u64().unwrap();
        let cells = "[].slice.call(document.querySelectorAll('td')).filter(function (td) { return td.textContent && td.getClientRects().length === 0; }).length";
        assert_eq!(browser.value(cells), 0, "{name}: cells that nobody sees");
        browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": false }));
        browser.open(&page);
        let with = browser.value(&format!("{text}.length")).as_u64().unwrap();
        assert!(shown + 200 > with, "{name}: {shown} characters without scripts, {with} with them");
    }
}

//! A test that reads the sources and fails on what a compiler does not see: the layers, the crates that belong to one place, the words that
//! have no business in pure code, the sizes.
//!
//! It works on text, not on a syntax tree: comments and literals are blanked first, then `#[cfg(test)]` items where a rule is not for tests.
//! That is exact enough for code that rustfmt has formatted, and needs no crate. Each rule is a function from text to [`Finding`]s, and each
//! has a test below in which it fails.
//!
//! What must be different somewhere stands in [`EXCEPTIONS`] with its reason. An exception that nothing needs any more is a finding too.

use std::fmt;
use std::path::Path;

/// The layers of ARCHITECTURE.md: a module imports only modules with a smaller number; the same number means strangers.
const LAYERS: &[(u8, &[&str])] = &[
    (10, &["main", "lib", "tidy"]),
    (9, &["api"]),
    (8, &["jobs"]),
    (7, &["mixer", "record", "gateway", "cluster"]),
    (6, &["sfu"]),
    (5, &["shard"]),
    (4, &["webrtc", "net"]),
    (3, &["people"]),
    (2, &["room"]),
    (1, &["config", "metrics", "codec", "rtp", "auth"]),
    (0, &["id", "limits", "rate"]),
];

/// The simulator is test code: it imports anything below the door, and only test code imports it.
const SIM: &str = "sim";
const SIM_BELOW: u8 = 6;

/// Front ends inside `api` that never import each other.
const API_STRANGERS: &[&str] = &["rest", "socket", "whip", "kurento"];

/// Crates that belong to some places only: a module (`net`) or one of its files (`shard/run`).
const CRATES: &[(&str, &[&str])] = &[
    ("str0m", &["webrtc", SIM]),
    ("axum", &["api"]),
    ("quinn", &["cluster"]),
    ("quinn_udp", &["net"]),
    ("socket2", &["net"]),
    ("if_addrs", &["net"]),
    ("dashmap", &["sfu"]),
    ("prometheus", &["metrics"]),
    ("toml", &["config"]),
    ("jsonwebtoken", &["auth"]),
    ("base64", &["auth"]),
    ("tokio_rustls", &["net"]),
    ("rcgen", &["net"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("rlimit", &["api"]),
    ("qrcode", &["api"]),
    ("clap", &["main"]),
    ("rust_embed", &["api"]),
    ("utoipa", &["api"]),
    ("ts_rs", &["api"]),
    // The shard's core and its other pure files do without: only the thread and what is sent to it know tokio.
    ("tokio", &["net", "shard/mod", "shard/run", "shard/command", "sfu", "mixer", "record", "gateway", "cluster", "jobs", "api", "main"]),
];

/// Modules that see values, bytes and a `now`. The shard is pure too but for the files of [`SHARD_EDGES`].
const PURE: &[&str] = &["id", "limits", "rate", "rtp", "auth", "room", "people", "webrtc", "shard"];
const SHARD_EDGES: &[&str] = &["shard/mod", "shard/run", "shard/command"];

/// Clocks, sockets, locks, threads and the outside world.
const BANNED: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    ".elapsed",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "Mutex",
    "RwLock",
    "Condvar",
    "thread_local",
    "std::thread",
    "mpsc",
    "async",
    "std::fs",
    "std::env",
    "std::process",
    "println",
    "eprintln",
];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_WISHED: usize = 500;
const FILE_LINES_MAX: usize = 800;

/// Which rule, in which file (without `.rs`), about what, and why it is right there.
type Exception = (Rule, &'static str, &'static str, &'static str);

const EXCEPTIONS: &[Exception] = &[
    (Rule::Layer, "id", "limits", "a name is checked against its maximum; limits is numbers only"),
    (Rule::Layer, "limits", "rate", "some limits are rates; rate is arithmetic and imports nothing"),
    (Rule::Layer, "config/mod", "auth", "a key is understood where it is read, so that no secret is kept as text; auth knows no settings"),
    (Rule::Layer, "config/read", "auth", "as config/mod"),
    (Rule::Banned, "webrtc/tap", "Mutex", "str0m's DtlsProvider is Sync, so what the tap writes down needs a lock; never contended"),
    (Rule::Banned, "webrtc/tap", "thread_local", "tells the tap which peer's handshake the shard's thread is driving"),
    (
        Rule::FileLength,
        "api/protocol",
        "more than 500",
        "all wire types in one file: whoever writes a client reads one file, and half of it are their comments",
    ),
    (Rule::Banned, "webrtc/fuzz", "Instant::now", "the edge of a fuzz target, compiled for nothing else"),
    (Rule::Layer, "limits", "rate", "a maximum of something in time is a rate; rate is arithmetic and imports nothing"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Layer,
    Crate,
    Banned,
    FunctionLength,
    FileLength,
    AllowReason,
    Unsafe,
    Header,
    StaleException,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    rule: Rule,
    file: String,
    line: usize,
    /// What an exception names: a module, a crate, a word, a function.
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { rule, file, line, what } = self;
        let text = match rule {
            Rule::Layer => "imports a module that is not below it in the layer table (or by a path that hides it)",
            Rule::Crate => "uses a crate that belongs elsewhere",
            Rule::Banned => "is pure and must not know this word",
            Rule::FunctionLength => "has a function over 70 lines",
            Rule::FileLength => "is too long without its tests (500 lines; up to 800 with an exception)",
            Rule::AllowReason => "has an allow or expect without a reason",
            Rule::Unsafe => "has unsafe outside of codec",
            Rule::Header => "does not begin with a //! header",
            Rule::StaleException => "does not need this exception of tidy any more",
        };
        write!(f, "{file}.rs:{line}: {text}: {what}")
    }
}

/// One source file, read once and prepared.
struct Source {
    /// Below `src`, without `.rs`: `room/fill`, `shard/mod`, `sfu`; of the load generator `loadtest/…`.
    file: String,
    raw: String,
    /// Without comments and without the contents of literals.
    code: String,
    /// The same without `#[cfg(test)]` items.
    plain: String,
}

impl Source {
    fn new(file: &str, raw: &str) -> Source {
        let code = blank_literals(raw);
        let whole_is_test =
            code.trim_start().starts_with("#![cfg(test)]") || file.split('/').skip(1).any(|part| part == "tests") || file == "tidy";
        let plain = if whole_is_test { blank_all(&code) } else { blank_tests(&code) };
        Source { file: file.to_owned(), raw: raw.to_owned(), code, plain }
    }

    /// The top-level module.
    fn module(&self) -> &str {
        self.file.split('/').next().unwrap_or_default()
    }

    fn is_module_root(&self) -> bool {
        !self.file.contains('/') || (self.file.ends_with("/mod") && self.file.matches('/').count() == 1)
    }

    /// Whether it is one of these modules or files.
    fn stands_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| *place == self.module() || *place == self.file)
    }

    fn finding(&self, rule: Rule, offset: usize, what: &str) -> Finding {
        let line = self.raw[..offset].matches('\n').count() + 1;
        Finding { rule, file: self.file.clone(), line, what: what.to_owned() }
    }
}

fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.module() != "loadtest" {
        findings.extend(check_layers(source));
        findings.extend(check_crates(source));
        findings.extend(check_banned(source));
    }
    findings.extend(check_functions(source));
    findings.extend(check_length(source));
    findings.extend(check_allows(source));
    findings.extend(check_unsafe(source));
    findings.extend(check_header(source));
    findings
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(number, _)| *number)
}

fn may_import(from: &str, to: &str, in_test: bool) -> bool {
    if from == to || (to == SIM && in_test) {
        return true;
    }
    let below = if from == SIM { Some(SIM_BELOW) } else { layer(from) };
    match (below, layer(to)) {
        (Some(from), Some(to)) => to < from,
        (None, _) | (_, None) => false,
    }
}

fn check_layers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (offset, path) in paths_from(&source.code, "crate") {
        let in_test = !source.plain[offset..].starts_with("crate");
        let (module, rest) = path.split_once("::").unwrap_or((&path, ""));
        if !may_import(source.module(), module, in_test) {
            findings.push(source.finding(Rule::Layer, offset, module));
        }
        if module == "api" && is_strange_front_end(&source.file, rest) {
            findings.push(source.finding(Rule::Layer, offset, &path));
        }
    }
    for (offset, path) in paths_from(&source.plain, "super") {
        let hides_the_crate = source.is_module_root() || path.starts_with("super");
        if hides_the_crate || (source.module() == "api" && is_strange_front_end(&source.file, &path)) {
            findings.push(source.finding(Rule::Layer, offset, &format!("super::{path}")));
        }
    }
    findings
}

/// `path` is what follows `api::`.
fn is_strange_front_end(file: &str, path: &str) -> bool {
    let of = |text: &str| API_STRANGERS.iter().copied().find(|name| text.split([':', '/']).next() == Some(*name));
    match (of(file.strip_prefix("api/").unwrap_or_default()), of(path)) {
        (Some(mine), Some(theirs)) => mine != theirs,
        (None, _) | (_, None) => false,
    }
}

fn check_crates(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, places) in CRATES.iter().filter(|(_, places)| !source.stands_in(places)) {
        debug_assert!(!places.is_empty());
        let first = words(&source.plain, name).find(|offset| {
            let after = &source.plain[offset + name.len()..];
            let before = source.plain[..*offset].trim_end();
            let is_path = after.starts_with("::") || before.ends_with("use");
            is_path && !before.ends_with("::")
        });
        findings.extend(first.map(|offset| source.finding(Rule::Crate, offset, name)));
    }
    findings
}

fn check_banned(source: &Source) -> Vec<Finding> {
    if !PURE.contains(&source.module()) || source.stands_in(SHARD_EDGES) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for word in BANNED {
        findings.extend(words(&source.plain, word).next().map(|offset| source.finding(Rule::Banned, offset, word)));
    }
    // A generator is passed in; the functions of the crate use a hidden one.
    for (offset, path) in paths_from(&source.plain, "fastrand") {
        if path != "Rng" && !path.starts_with("Rng::") {
            findings.push(source.finding(Rule::Banned, offset, &format!("fastrand::{path}")));
        }
    }
    findings
}

fn check_functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for offset in words(&source.plain, "fn") {
        let name: String = source.plain[offset + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
        let before = source.plain[..offset].trim_end();
        let is_test = before.ends_with("#[test]");
        let lines = source.plain[offset..item_end(&source.plain, offset)].matches('\n').count() + 1;
        if !name.is_empty() && !is_test && lines > FUNCTION_LINES_MAX {
            findings.push(source.finding(Rule::FunctionLength, offset, &name));
        }
    }
    findings
}

fn check_length(source: &Source) -> Vec<Finding> {
    let is_test_line = |(code, plain): (&str, &str)| !code.trim().is_empty() && plain.trim().is_empty();
    let in_tests = source.code.lines().zip(source.plain.lines()).filter(|pair| is_test_line(*pair)).count();
    let lines = source.raw.lines().count() - in_tests;
    if lines <= FILE_LINES_WISHED {
        return Vec::new();
    }
    // A file over the last limit names it, so that an exception for its wish does not cover it.
    let limit = if lines > FILE_LINES_MAX { "more than 800" } else { "more than 500" };
    vec![source.finding(Rule::FileLength, 0, limit)]
}

fn check_allows(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (offset, _) in source.code.match_indices("#[").chain(source.code.match_indices("#![")) {
        let attribute = &source.code[offset..closing(&source.code, offset, '[', ']')];
        let silences = ["allow", "expect"].iter().any(|word| words(attribute, word).next().is_some());
        if silences && words(attribute, "reason").next().is_none() {
            findings.push(source.finding(Rule::AllowReason, offset, attribute));
        }
    }
    findings
}

fn check_unsafe(source: &Source) -> Vec<Finding> {
    if source.module() == "codec" {
        return Vec::new();
    }
    words(&source.code, "unsafe").map(|offset| source.finding(Rule::Unsafe, offset, "unsafe")).collect()
}

fn check_header(source: &Source) -> Vec<Finding> {
    if source.raw.starts_with("//!") {
        return Vec::new();
    }
    vec![source.finding(Rule::Header, 0, "//!")]
}

/// Takes away what an exception covers; what no exception file needs any more comes as a finding of its own.
fn apply_exceptions(findings: Vec<Finding>, exceptions: &[Exception], files: &[&str]) -> Vec<Finding> {
    let covers = |(rule, file, what, _): &Exception, found: &Finding| *rule == found.rule && *file == found.file && *what == found.what;
    let stale = exceptions
        .iter()
        .filter(|exception| files.contains(&exception.1) && !findings.iter().any(|found| covers(exception, found)))
        .map(|(_, file, what, _)| Finding { rule: Rule::StaleException, file: (*file).to_owned(), line: 1, what: (*what).to_owned() })
        .collect::<Vec<_>>();
    let mut left = findings;
    left.retain(|found| !exceptions.iter().any(|exception| covers(exception, found)));
    left.extend(stale);
    left
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text`, not as a part of a longer one.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let begins_word = word.starts_with(is_word);
    text.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = text[..*offset].chars().next_back().filter(|_| begins_word);
        let after = text[offset + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Every path that begins with `root::`, without the root: one for each name of a `{…}` right behind it.
fn paths_from(text: &str, root: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for offset in words(text, root) {
        let Some(after) = text[offset + root.len()..].strip_prefix("::") else { continue };
        let path = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c) || *c == ':').collect::<String>();
        if !after.starts_with('{') {
            paths.push((offset, path(after)));
            continue;
        }
        let group = &after[1..closing(after, 0, '{', '}') - 1];
        let mut depth = 0;
        let names = group.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        paths.extend(names.map(path).filter(|name| !name.is_empty()).map(|name| (offset, name)));
    }
    paths
}

/// The offset behind the bracket that closes the first `open` at or after `from`; the end of the text without one.
fn closing(text: &str, from: usize, open: char, close: char) -> usize {
    let mut depth = 0usize;
    for (offset, c) in text[from..].char_indices() {
        if c == open {
            depth += 1;
        } else if c == close && depth > 0 {
            depth -= 1;
            if depth == 0 {
                return from + offset + c.len_utf8();
            }
        }
    }
    text.len()
}

/// The offset behind the item that begins at `from`: its `;`, or the end of its braces.
fn item_end(text: &str, from: usize) -> usize {
    let mut depth = 0i32;
    for (offset, c) in text[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return from + offset + 1,
            '{' if depth == 0 => return closing(text, from + offset, '{', '}'),
            _ => {}
        }
    }
    text.len()
}

/// Spaces instead of everything but the ends of lines.
fn blank_all(text: &str) -> String {
    text.chars().flat_map(|c| std::iter::repeat_n(if c == '\n' { '\n' } else { ' ' }, c.len_utf8())).collect()
}

/// Blanks every item under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut at = 0;
    while let Some(found) = code[at..].find("#[cfg(test)]") {
        let start = at + found;
        let item = start + "#[cfg(test)]".len();
        let end = plain_end(&code[item..]).map_or_else(|| item_end(code, item), |end| item + end);
        out.push_str(&code[at..start]);
        out.push_str(&blank_all(&code[start..end]));
        at = end;
    }
    out.push_str(&code[at..]);
    out
}

/// Where an import, a field or a statement ends; `None` for what ends with its body.
fn plain_end(item: &str) -> Option<usize> {
    let is_use = item.trim_start().trim_start_matches("pub ").starts_with("use ");
    let mut depth = 0;
    for (at, c) in item.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' | ';' if depth == 0 && !is_use => return Some(at + 1),
            ';' if is_use => return Some(at + 1),
            '{' if !is_use => return None,
            _ => {}
        }
    }
    None
}

/// Blanks comments and the contents of strings and characters. Offsets and lines stay.
fn blank_literals(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        let length = match literal_length(rest, previous) {
            Some(length) => {
                out.push_str(&blank_all(&rest[..length]));
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        previous = c;
        rest = &rest[length..];
    }
    out
}

/// The bytes of the comment or literal that `text` begins with.
fn literal_length(text: &str, previous: char) -> Option<usize> {
    let until = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    if text.starts_with('"') {
        return Some(escaped_length(text, '"'));
    }
    if !is_word(previous) {
        let hashes = text.strip_prefix("br").or(text.strip_prefix('r')).map(|after| (after, after.trim_start_matches('#')));
        if let Some((after, opened)) = hashes.filter(|(_, opened)| opened.starts_with('"')) {
            let count = after.len() - opened.len();
            let start = text.len() - opened.len() + 1;
            return Some(until(start, &format!("\"{}", "#".repeat(count))));
        }
    }
    if let Some(inside) = text.strip_prefix('\'') {
        let mut inside = inside.chars();
        let (first, second) = (inside.next()?, inside.next());
        return (first == '\\' || second == Some('\'')).then(|| escaped_length(text, '\''));
    }
    None
}

fn escaped_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return offset + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

fn read_sources(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("the sources are there").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8");
        let file = format!("{prefix}{name}");
        if path.is_dir() {
            read_sources(&path, &format!("{file}/"), sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source::new(&file, &std::fs::read_to_string(&path).expect("readable")));
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn the_sources_are_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Vec::new();
        read_sources(&root.join("src"), "", &mut sources);
        read_sources(&root.join("loadtest/src"), "loadtest/", &mut sources);
        assert!(sources.len() > 5, "found only {} files", sources.len());

        let files: Vec<&str> = sources.iter().map(|source| source.file.as_str()).collect();
        let findings = apply_exceptions(sources.iter().flat_map(check).collect(), EXCEPTIONS, &files);
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
        assert!(EXCEPTIONS.iter().all(|(_, _, _, reason)| reason.len() > 10), "an exception says why");
    }

    #[test]
    fn the_documents_show_the_same_layers() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["ARCHITECTURE.md", "src/lib.rs"] {
            let text = std::fs::read_to_string(root.join(name)).expect("the document is there");
            for (number, modules) in LAYERS {
                let line = format!("{number:>2}  {}", modules.join("  "));
                assert!(text.contains(&line), "{name} does not show the layer\n{line}");
            }
        }
    }

    fn found(file: &str, text: &str) -> Vec<(Rule, String)> {
        let text = format!("//! A header.\n{text}\n");
        check(&Source::new(file, &text)).into_iter().map(|finding| (finding.rule, finding.what)).collect()
    }

    #[track_caller]
    fn fails(file: &str, text: &str, rule: Rule, what: &str) {
        assert_eq!(found(file, text), [(rule, what.to_owned())], "{file}: {text}");
    }

    #[track_caller]
    fn passes(file: &str, text: &str) {
        assert_eq!(found(file, text), [], "{file}: {text}");
    }

    #[test]
    fn imports_go_down() {
        passes("room/mod", "use crate::rtp::Packet;");
        passes("room/fill", "use super::Room; use crate::{id::PeerId, limits, room::{Track, Slot}};");
        passes("sim/call", "use crate::{shard::Shard, webrtc::Peer};");
        passes("shard/core", "#[cfg(test)]\nmod tests { use super::*; use crate::sim::Clock; }");
        fails("room/mod", "use crate::people::Roster;", Rule::Layer, "people");
        fails("people/mod", "use crate::{id::PeerId, sfu::Sfu};", Rule::Layer, "sfu");
        fails("net/udp", "fn f() { crate::webrtc::start() }", Rule::Layer, "webrtc");
        fails("webrtc/peer", "use crate::net::Batch;", Rule::Layer, "net");
        fails("room/mod", "use crate::stray::Thing;", Rule::Layer, "stray");
        fails("stray", "use crate::id::PeerId;", Rule::Layer, "id");
        fails("sim/call", "use crate::sfu::Sfu;", Rule::Layer, "sfu");
        fails("shard/core", "use crate::sim::Clock;", Rule::Layer, "sim");
        fails("room/mod", "#[cfg(test)]\nmod tests { use crate::people::Roster; }", Rule::Layer, "people");
    }

    #[test]
    fn super_hides_nothing() {
        passes("room/slot", "use super::track::Track;");
        fails("room/mod", "use super::people::Roster;", Rule::Layer, "super::people::Roster");
        fails("room/slot", "use super::super::people::Roster;", Rule::Layer, "super::super::people::Roster");
    }

    #[test]
    fn front_ends_are_strangers() {
        passes("api/socket", "use crate::api::protocol::Source; use super::extract::Grants;");
        passes("api/mod", "use crate::api::socket::upgrade;");
        fails("api/socket", "use crate::api::rest::list;", Rule::Layer, "api::rest::list");
        fails("api/rest/rooms", "use crate::api::socket::join;", Rule::Layer, "api::socket::join");
        fails("api/whip", "use super::socket::join;", Rule::Layer, "super::socket::join");
    }

    #[test]
    fn crates_stay_where_they_belong() {
        passes("webrtc/peer", "use str0m::Rtc;");
        passes("api/socket", "use axum::Router; use tokio::sync::mpsc;");
        passes("shard/run", "use tokio::select;");
        passes("room/mod", "/// Nothing of tokio::sync here.\nfn f() { my::tokio::f(); let s = \"tokio::x\"; }");
        fails("shard/core", "use tokio::sync::oneshot;", Rule::Crate, "tokio");
        fails("room/mod", "use str0m::Rtc;", Rule::Crate, "str0m");
        fails("sfu", "use axum::Router;", Rule::Crate, "axum");
        fails("shard/mod", "fn f() { dashmap::DashMap::new(); }", Rule::Crate, "dashmap");
        fails("net/quic", "use quinn::Endpoint;", Rule::Crate, "quinn");
        fails("shard/run", "use quinn_udp::Transmit;", Rule::Crate, "quinn_udp");
    }

    #[test]
    fn pure_modules_know_no_clock_socket_or_lock() {
        passes("rtp/mod", "use std::time::Instant; fn f(now: Instant) {} // Instant::now");
        passes("net/udp", "fn f() { Instant::now(); }");
        passes("shard/run", "fn f() { Instant::now(); }");
        passes("room/mod", "#[cfg(test)]\nmod tests { fn f() { std::time::Instant::now(); } }\nfn g() {}");
        passes("room/mod", "fn f(random: &mut fastrand::Rng) {}");
        passes("room/tests", "fn f() { Instant::now(); }");
        passes("room/tests/random", "fn f() { Instant::now(); }");
        fails("room/mod", "fn f() { let now = std::time::Instant::now(); }", Rule::Banned, "Instant::now");
        fails("shard/core", "use std::sync::Mutex;", Rule::Banned, "Mutex");
        fails("webrtc/egress", "use std::net::UdpSocket;", Rule::Banned, "UdpSocket");
        fails("people/mod", "fn f() { std::thread::sleep(d); }", Rule::Banned, "std::thread");
        fails("auth/mod", "fn f() { SystemTime::now(); }", Rule::Banned, "SystemTime::now");
        passes("rtp/mod", "fn f(elapsed: Duration) { g(elapsed); }");
        fails("rtp/mod", "fn f(since: Instant) { g(since.elapsed()); }", Rule::Banned, ".elapsed");
        fails("room/mod", "fn f() { fastrand::u32(..); }", Rule::Banned, "fastrand::u32");
    }

    #[test]
    fn sizes_are_bounded() {
        let function = |lines: usize| format!("fn long() {{\n{}}}", "    step();\n".repeat(lines - 2));
        passes("sfu", &function(70));
        fails("sfu", &function(71), Rule::FunctionLength, "long");
        passes("sfu", &format!("#[cfg(test)]\nmod tests {{\n{}\n}}", function(300)));

        let file = |lines: usize| "const A: u8 = 1;\n".repeat(lines);
        passes("sfu", &file(490));
        fails("sfu", &file(500), Rule::FileLength, "more than 500");
        fails("sfu", &file(800), Rule::FileLength, "more than 800");
        passes("sfu", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}", file(400), file(400)));
        passes("sfu", &format!("fn f() {{\nS {{\n#[cfg(test)]\na: 1,\n}}\n}}\n{}", file(200)));
    }

    #[test]
    fn silence_has_a_reason() {
        passes("sfu", "#[allow(dead_code, reason = \"the next issue uses it\")]\nfn f() { option.expect(\"there\"); }");
        fails("sfu", "#[allow(dead_code)]\nfn f() {}", Rule::AllowReason, "#[allow(dead_code)]");
        fails("sfu", "#![expect(unused)]", Rule::AllowReason, "#![expect(unused)]");
        fails("sfu", "#[cfg(test)]\nmod tests { #[allow(unused)] fn f() {} }", Rule::AllowReason, "#[allow(unused)]");
    }

    #[test]
    fn unsafe_stays_in_codec() {
        passes("codec/opus", "fn f() { unsafe { g() } }");
        passes("sfu", "// unsafe\nconst A: &str = r#\"unsafe \"quoted\" \"#; const B: char = '\"'; const C: u8 = b'\\''; // unsafe");
        fails("sfu", "fn f() { unsafe { g() } }", Rule::Unsafe, "unsafe");
        fails("loadtest/main", "fn f<'a>(x: &'a str) { unsafe { g() } }", Rule::Unsafe, "unsafe");
    }

    #[test]
    fn files_have_headers() {
        let findings = check(&Source::new("sfu", "fn f() {}\n"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].to_string(), "sfu.rs:1: does not begin with a //! header: //!");
    }

    #[test]
    fn exceptions_cover_one_thing_and_expire() {
        let exceptions = [(Rule::Banned, "webrtc/dtls", "Mutex", "a reason")];
        let of = |file: &str, text: &str| {
            let findings = check(&Source::new(file, &format!("//! A header.\n{text}")));
            apply_exceptions(findings, &exceptions, &[file]).into_iter().map(|finding| (finding.rule, finding.what)).collect::<Vec<_>>()
        };
        assert_eq!(of("webrtc/dtls", "use std::sync::Mutex;"), []);
        assert_eq!(of("webrtc/peer", "use std::sync::Mutex;"), [(Rule::Banned, "Mutex".to_owned())]);
        assert_eq!(of("webrtc/dtls", "use std::sync::Arc;"), [(Rule::StaleException, "Mutex".to_owned())]);
    }

    #[test]
    fn findings_name_the_line() {
        let source = Source::new("sfu", "//! A header.\n/* one\n   two */\nfn f() { unsafe {} }\n");
        assert_eq!(check_unsafe(&source)[0].line, 4);
    }
}

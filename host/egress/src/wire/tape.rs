//! Exchanges written down, one a line, and played again without a network.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Failure, Redactor, Verdict, Wire};
use crate::error::EgressError;
use crate::guest::GuestCode;

/// A tape that cannot be written, read, or that was not played as it was recorded.
#[derive(Debug, Error)]
pub enum TapeError {
    /// The file.
    #[error("the tape {path}", path = path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line that is no exchange.
    #[error("the tape {path}, line {line}: {reason}; record it again", path = path.display())]
    Line {
        /// Where it is.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Something was asked for that is not on it.
    #[error(
        "the tape {path} has no answer to {asked}, after {played} of its {all} exchanges; record it again if the plugin \
         has changed, or what it is asked to do",
        path = path.display()
    )]
    Missing {
        /// Where it is.
        path: PathBuf,
        /// Method, URL and body.
        asked: String,
        /// How many exchanges were played until then.
        played: usize,
        /// How many there are.
        all: usize,
    },
    /// Exchanges that nobody asked for.
    #[error(
        "{count} of the exchanges on the tape {path} were not asked for, the first of them {first}; record it again if \
         the plugin has changed, or what it is asked to do",
        path = path.display()
    )]
    Unplayed {
        /// Where it is.
        path: PathBuf,
        /// How many.
        count: usize,
        /// Method, URL and body of the first.
        first: String,
    },
}

/// A line of a tape.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    /// Which exchange it was, from 1.
    number: u64,
    method: String,
    url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, flatten)]
    body: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerLine>,
    /// The code of `wasi:http` that the guest was told, where there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerLine {
    status: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, flatten)]
    body: Content,
}

/// A body: text where it is text.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Content {
    fn new(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok("") => Self::default(),
            Ok(text) => Self { body: Some(text.into()), base64: None },
            Err(_) => Self { body: None, base64: Some(BASE64.encode(bytes)) },
        }
    }

    fn bytes(self) -> Result<Bytes, String> {
        match (self.body, self.base64) {
            (None, None) => Ok(Bytes::new()),
            (Some(text), None) => Ok(text.into()),
            (None, Some(text)) => {
                BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(|error| format!("Base64: {error}"))
            }
            (Some(_), Some(_)) => Err("it has both Body and Base64".into()),
        }
    }
}

fn written(headers: &HeaderMap) -> Vec<(String, String)> {
    // Bytes beyond ASCII are rare enough to be shown as Latin-1, one character each, and are read back so.
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|it| char::from(*it)).collect();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn read_headers(pairs: Vec<(String, String)>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, text) in pairs {
        let bytes: Option<Vec<u8>> = text.chars().map(|it| u8::try_from(u32::from(it)).ok()).collect();
        let value = bytes.and_then(|it| HeaderValue::from_bytes(&it).ok());
        let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), value) else {
            return Err(format!("{name:?} is no header"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// Writes down all exchanges of one plugin, without what its [`Redactor`] takes out. What a guest sends and is answered
/// otherwise is on the tape as it was.
pub struct Recorder {
    path: PathBuf,
    redactor: Redactor,
    state: Mutex<Writing>,
}

struct Writing {
    file: File,
    lines: u64,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Begin a tape in a file that only its owner may open. What was in it is lost.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: impl Into<PathBuf>, redactor: Redactor) -> Result<Self, TapeError> {
        let path = path.into();
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => {
                let state = Mutex::new(Writing { file, lines: 0, failed: None });
                Ok(Self { path, redactor, state })
            }
            Err(source) => Err(TapeError::File { path, source }),
        }
    }

    /// How many exchanges are on it.
    ///
    /// # Errors
    /// One of them could not be written; what follows it is missing.
    pub fn finish(&self) -> Result<u64, TapeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.failed.take() {
            None => Ok(state.lines),
            Some(source) => Err(TapeError::File { path: self.path.clone(), source }),
        }
    }
}

impl Wire for Recorder {
    fn decide(&self, _number: u64, _request: &Request<Bytes>) -> Verdict {
        Verdict::PASS
    }

    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        let request = self.redactor.request(request);
        let (answer, error) = match answer {
            Ok(answer) => {
                let answer = self.redactor.answer(answer);
                let (headers, body) = (written(answer.headers()), Content::new(answer.body()));
                (Some(AnswerLine { status: answer.status().as_u16(), headers, body }), None)
            }
            Err(error) => (None, Some(error.guest_code().to_string())),
        };
        let line = Line {
            number,
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers: written(request.headers()),
            body: Content::new(request.body()),
            answer,
            error,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            return;
        }
        let text = serde_json::to_vec(&line).map_err(io::Error::other);
        let done = text.and_then(|mut text| {
            text.push(b'\n');
            state.file.write_all(&text)
        });
        match done {
            Ok(()) => state.lines += 1,
            Err(error) => state.failed = Some(error),
        }
    }
}

/// Which exchange of a tape answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The next one, which has to be the same: method, URL and body.
    InOrder,
    /// The first one that is the same and was not played yet.
    Anywhere,
}

/// Answers from a tape, and from nowhere else.
pub struct Replayer {
    path: PathBuf,
    mode: Match,
    redactor: Redactor,
    state: Mutex<Playing>,
}

struct Playing {
    left: VecDeque<Exchange>,
    all: usize,
    /// The first that was asked for and was not there, and how many were played before.
    missing: Option<(String, usize)>,
}

struct Exchange {
    asked: Asked,
    answer: Result<Response<Bytes>, GuestCode>,
}

/// What has to be the same.
#[derive(Clone, PartialEq, Eq)]
struct Asked {
    method: Method,
    url: String,
    size: usize,
    digest: [u8; 32],
}

impl Asked {
    fn new(method: &Method, url: String, body: &[u8]) -> Self {
        Self { method: method.clone(), url, size: body.len(), digest: Sha256::digest(body).into() }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url)?;
        if self.size == 0 {
            return f.write_str(" without a body");
        }
        let digest = HEXLOWER.encode(&self.digest[..4]);
        write!(f, " with a body of {} bytes (SHA-256 {digest}...)", self.size)
    }
}

impl Replayer {
    /// Read a tape. The redactor has to take out what the recorder's did, or what is asked differs from what was.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is no exchange.
    pub fn open(path: impl AsRef<Path>, mode: Match, redactor: Redactor) -> Result<Self, TapeError> {
        let path = path.as_ref();
        let failed = |source| TapeError::File { path: path.into(), source };
        let file = BufReader::new(File::open(path).map_err(failed)?);
        let mut found = Vec::new();
        for (index, text) in file.lines().enumerate() {
            let wrong = |reason| TapeError::Line { path: path.into(), line: index + 1, reason };
            let text = text.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => wrong("this is not UTF-8".into()),
                _ => failed(error),
            })?;
            if !text.trim().is_empty() {
                let line: Line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
                found.push((line.number, exchange(line).map_err(wrong)?));
            }
        }
        // They are written as they end, and were asked for in the order of their numbers.
        found.sort_by_key(|(number, _)| *number);
        let all = found.len();
        let left = found.into_iter().map(|(_, exchange)| exchange).collect();
        Ok(Self { path: path.into(), mode, redactor, state: Mutex::new(Playing { left, all, missing: None }) })
    }

    /// Whether all that was asked for so far was on it.
    ///
    /// # Errors
    /// The first that was not.
    pub fn follows(&self) -> Result<(), TapeError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.missing.clone() {
            None => Ok(()),
            Some((asked, played)) => Err(TapeError::Missing { path: self.path.clone(), asked, played, all: state.all }),
        }
    }

    /// Whether all of it was played, and nothing else.
    ///
    /// # Errors
    /// Something else was asked for, or some was not played.
    pub fn finish(&self) -> Result<(), TapeError> {
        self.follows()?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.left.front() {
            None => Ok(()),
            Some(first) => Err(TapeError::Unplayed {
                path: self.path.clone(),
                count: state.left.len(),
                first: first.asked.to_string(),
            }),
        }
    }
}

fn exchange(line: Line) -> Result<Exchange, String> {
    let method = Method::from_bytes(line.method.as_bytes()).map_err(|_| format!("{:?} is no method", line.method))?;
    let asked = Asked::new(&method, line.url, &line.body.bytes()?);
    let answer = match (line.answer, line.error) {
        (Some(answer), None) => {
            let mut response = Response::new(answer.body.bytes()?);
            *response.status_mut() =
                StatusCode::from_u16(answer.status).map_err(|_| format!("{} is no status", answer.status))?;
            *response.headers_mut() = read_headers(answer.headers)?;
            Ok(response)
        }
        (None, Some(code)) => Err(GuestCode::named(&code).ok_or_else(|| format!("{code:?} is no error of wasi:http"))?),
        _ => return Err("it needs either Answer or Error".into()),
    };
    Ok(Exchange { asked, answer })
}

impl Wire for Replayer {
    fn decide(&self, _number: u64, request: &Request<Bytes>) -> Verdict {
        let clean = self.redactor.request(request);
        let asked = Asked::new(clean.method(), clean.uri().to_string(), clean.body());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match self.mode {
            Match::InOrder => state.left.front().filter(|it| it.asked == asked).map(|_| 0),
            Match::Anywhere => state.left.iter().position(|it| it.asked == asked),
        };
        if let Some(exchange) = found.and_then(|it| state.left.remove(it)) {
            return match exchange.answer {
                Ok(answer) => Verdict::answer(answer),
                Err(code) => {
                    let message = format!("the tape has a failure here: {code}");
                    Verdict::fail(Failure::new(code, message))
                }
            };
        }
        let played = state.all - state.left.len();
        state.missing.get_or_insert_with(|| (asked.to_string(), played));
        let next = match (self.mode, state.left.front()) {
            (_, None) => "it is at its end".to_owned(),
            (Match::InOrder, Some(next)) => format!("the next on it is {}", next.asked),
            (Match::Anywhere, Some(_)) => format!("{} others on it are left", state.left.len()),
        };
        let message = format!(
            "the tape does not have {asked} here: after {played} of {} exchanges {next}; record it again if the plugin has changed",
            state.all
        );
        Verdict::fail(Failure::new(GuestCode::InternalError(None), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str, body: &'static [u8]) -> Request<Bytes> {
        Request::post(url).body(Bytes::from_static(body)).unwrap()
    }

    #[test]
    fn a_tape_reads_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let recorder = Recorder::create(&path, Redactor::default()).unwrap();
        let answer = Response::builder().status(201).header("x", HeaderValue::from_bytes(b"\xe9\"").unwrap());
        let answer = answer.body(Bytes::from_static(b"\xff\x00")).unwrap();
        // Ended in another order than asked.
        recorder.ended(2, &get("http://a.b/2", b"two"), Err(&EgressError::NoAddress("a.b".into())));
        recorder.ended(1, &get("http://a.b/1", b"\xfe"), Ok(&answer));
        assert_eq!(recorder.finish().unwrap(), 2);
        let replayer = Replayer::open(&path, Match::InOrder, Redactor::default()).unwrap();
        let Verdict { by: super::super::By::Answer(again), .. } = replayer.decide(1, &get("http://a.b/1", b"\xfe"))
        else {
            panic!("no answer")
        };
        assert_eq!((again.status(), again.headers(), again.body()), (answer.status(), answer.headers(), answer.body()));
        assert!(replayer.finish().unwrap_err().to_string().contains("POST http://a.b/2 with a body of 3 bytes"));
        let Verdict { by: super::super::By::Failure(failure), .. } = replayer.decide(2, &get("http://a.b/2", b"two"))
        else {
            panic!("no failure")
        };
        assert_eq!(failure.code(), GuestCode::DestinationNotFound);
        replayer.finish().unwrap();
    }

    #[test]
    fn what_is_not_on_the_tape_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let recorder = Recorder::create(&path, Redactor::default()).unwrap();
        for number in 1..=3 {
            recorder.ended(number, &get(&format!("http://a.b/{number}"), b""), Ok(&Response::new(Bytes::new())));
        }
        let refused = |mode, url: &str, body: &'static [u8]| {
            let replayer = Replayer::open(&path, mode, Redactor::default()).unwrap();
            match replayer.decide(1, &get(url, body)).by {
                super::super::By::Failure(failure) => failure.to_string(),
                _ => String::new(),
            }
        };
        assert_eq!(
            refused(Match::InOrder, "http://a.b/2", b""),
            "the tape does not have POST http://a.b/2 without a body here: after 0 of 3 exchanges the next on it is \
             POST http://a.b/1 without a body; record it again if the plugin has changed"
        );
        assert_eq!(refused(Match::Anywhere, "http://a.b/2", b""), "");
        assert!(refused(Match::Anywhere, "http://a.b/2", b"x").contains("3 others on it are left"));

        let replayer = Replayer::open(&path, Match::Anywhere, Redactor::default()).unwrap();
        replayer.decide(1, &get("http://a.b/1", b""));
        assert!(replayer.follows().is_ok());
        for url in ["http://a.b/4", "http://a.b/5"] {
            replayer.decide(2, &get(url, b""));
        }
        let strayed = replayer.finish().unwrap_err().to_string();
        let told = "has no answer to POST http://a.b/4 without a body, after 1 of its 3 exchanges; record it again";
        assert!(strayed.contains(told) && strayed.contains(&path.display().to_string()), "{strayed}");
    }

    #[test]
    fn a_line_that_is_none_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let good = r#"{"Number":1,"Method":"GET","Url":"http://a.b/","Answer":{"Status":200}}"#;
        for (line, says) in [
            ("{", "EOF"),
            (r#"{"Number":1,"Method":"GET","Url":"x"}"#, "either Answer or Error"),
            (r#"{"Number":1,"Method":"G T","Url":"x","Error":"DNS-error"}"#, "is no method"),
            (r#"{"Number":1,"Method":"GET","Url":"x","Error":"nonsense"}"#, "no error of wasi:http"),
            (r#"{"Number":1,"Method":"GET","Url":"x","Answer":{"Status":7}}"#, "7 is no status"),
            (r#"{"Number":1,"Method":"GET","Url":"x","Base64":"?","Error":"DNS-error"}"#, "Base64"),
        ] {
            std::fs::write(&path, format!("{good}\n\n{line}\n")).unwrap();
            let refused = Replayer::open(&path, Match::InOrder, Redactor::default()).err().expect(line).to_string();
            assert!(refused.contains("line 3") && refused.contains(says), "{line}: {refused}");
        }
        std::fs::write(&path, [good.as_bytes(), b"\n\xff\xfe\n"].concat()).unwrap();
        let refused = Replayer::open(&path, Match::InOrder, Redactor::default()).err().unwrap().to_string();
        assert!(refused.contains("line 2: this is not UTF-8; record it again"), "{refused}");
    }
}

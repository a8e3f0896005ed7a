//! Whether a request may be sent, and if not, what would have to be said so that it may.

use std::fmt;

use serde_json::{Value, json};

use super::path::{self, PathFault, PathPattern};
use super::url::{UrlPart, UrlPattern};
use super::{HttpGrant, HttpRequest, HttpWant};
use crate::grant::Remedy;

/// The most characters of a request that a denial repeats: the guest wrote it.
const SHOWN: usize = 200;

/// The first part of a request that a grant or a wish does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpRefusal {
    /// The grant itself cannot be read.
    #[error("its own text is wrong: {0}")]
    Unreadable(String),
    /// It is for other hosts.
    #[error("it is for {0}")]
    Host(String),
    /// It is for the other scheme.
    #[error("it is for {0}")]
    Scheme(String),
    /// It is for another port.
    #[error("it is for {0}, which is another port")]
    Port(String),
    /// It is for other methods.
    #[error("it is for {}", .0.join(", "))]
    Method(Vec<String>),
    /// It is for other paths.
    #[error("it is for {}", .0.join(", "))]
    Path(Vec<String>),
    /// The path is one that no grant with `Paths` lets pass.
    #[error("{0}")]
    Unclear(PathFault),
}

impl HttpRefusal {
    /// How much of the request fits: the more, the nearer.
    fn nearness(&self) -> u8 {
        match self {
            Self::Unreadable(_) => 0,
            Self::Host(_) => 1,
            Self::Scheme(_) => 2,
            Self::Port(_) => 3,
            Self::Method(_) => 4,
            Self::Path(_) => 5,
            Self::Unclear(_) => 6,
        }
    }

    /// Whether scheme, host and port fit.
    fn is_there(&self) -> bool {
        matches!(self, Self::Method(_) | Self::Path(_) | Self::Unclear(_))
    }
}

/// Whether a request fits a URL (`*` for all), methods and paths (none for all).
pub(super) fn fits(
    url: &str,
    methods: &[String],
    paths: &[String],
    request: &HttpRequest<'_>,
) -> Result<(), HttpRefusal> {
    if url != "*" {
        let pattern: UrlPattern = url.parse().map_err(HttpRefusal::Unreadable)?;
        match pattern.differs(request.scheme, request.host, request.port) {
            None => {}
            Some(UrlPart::Host) => return Err(HttpRefusal::Host(pattern.host.to_string())),
            Some(UrlPart::Scheme) => return Err(HttpRefusal::Scheme(pattern.scheme.to_string())),
            Some(UrlPart::Port) => return Err(HttpRefusal::Port(pattern.to_string())),
        }
    }
    if !methods.is_empty() && !methods.iter().any(|it| it == request.method) {
        return Err(HttpRefusal::Method(methods.to_vec()));
    }
    let patterns: Result<Vec<PathPattern>, String> = paths.iter().map(|it| it.parse()).collect();
    let patterns = patterns.map_err(HttpRefusal::Unreadable)?;
    let plain = match path::plain(request.path) {
        Ok(plain) => plain,
        // All paths of the host are open, so it does not matter as which of them the server reads this one.
        Err(fault) if patterns.is_empty() && !fault.is_malformed() => return Ok(()),
        Err(fault) => return Err(HttpRefusal::Unclear(fault)),
    };
    match patterns.is_empty() || patterns.iter().any(|it| it.fits(&plain)) {
        true => Ok(()),
        false => Err(HttpRefusal::Path(paths.to_vec())),
    }
}

/// What a denied request lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The operator grants nothing that fits.
    Grant,
    /// The plugin's manifest asks for nothing that fits, although it is granted.
    Wish,
    /// Neither does the manifest ask for it, nor is it granted.
    Both,
    /// Nothing: the call is one that only looks, and the method is one that changes something.
    ReadOnly,
    /// A path that can be judged: this one could be read in two ways.
    Clarity(PathFault),
}

/// A request that was denied, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The request in short.
    pub request: String,
    /// What is missing.
    pub missing: Missing,
    /// Why the nearest of the grants (or of the wishes, where only a wish is missing) does not fit; none where there is
    /// none at all.
    pub nearest: Option<HttpRefusal>,
    /// The grant that would allow it; none where no grant would, or one that fits is there.
    pub grant: Option<Remedy>,
    /// The wish that the plugin's manifest would have to hold among its `Wants`; none where it has one that fits.
    pub wish: Option<Value>,
}

impl Denial {
    fn new(request: &HttpRequest<'_>, missing: Missing, nearest: Option<HttpRefusal>) -> Self {
        Self { request: shown(&request.to_string()), missing, nearest, grant: None, wish: None }
    }

    /// What a guest is told: what was denied and why, without the operator's business.
    pub fn reason(&self) -> &'static str {
        match self.missing {
            Missing::Grant | Missing::Both => "the operator has not granted this request to the plugin",
            Missing::Wish => "the plugin's manifest does not ask for this request",
            Missing::ReadOnly => "in a call that only looks, nothing but GET, HEAD and OPTIONS may be sent",
            Missing::Clarity(_) => "the path could be read in two ways, and the plugin's paths are restricted",
        }
    }
}

/// One line, for the operator.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was denied: ", self.request)?;
        match (&self.missing, &self.nearest) {
            (Missing::ReadOnly | Missing::Clarity(_), _) => f.write_str(self.reason())?,
            (Missing::Wish, None) => f.write_str("the plugin's manifest asks for no requests")?,
            (Missing::Wish, Some(nearest)) => {
                write!(f, "the plugin's manifest does not ask for it (the nearest of its wishes: {nearest})")?;
            }
            (_, None) => f.write_str("no request is granted")?,
            (_, Some(nearest)) => write!(f, "it is not granted (the nearest grant: {nearest})")?,
        }
        if let Missing::Clarity(fault) = &self.missing {
            write!(f, ": {fault}; only a grant and a wish without \"Paths\" let it pass")?;
        }
        if let Some(grant) = &self.grant {
            write!(f, "; to allow it: {grant}")?;
        }
        if let Some(wish) = &self.wish {
            let also = if self.grant.is_some() { "also needs" } else { "needs" };
            write!(f, "; the plugin's manifest {also} {wish} in its \"Wants\"")?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}

/// The grant by which a request may be sent: the first that fits, in the order in which they were given.
///
/// # Errors
/// What is missing, where none fits, or the plugin did not ask for it.
pub fn judge<'g>(
    grants: &'g [HttpGrant],
    wants: &[HttpWant],
    request: &HttpRequest<'_>,
) -> Result<&'g HttpGrant, Box<Denial>> {
    let granted = first(grants.iter().map(|it| (it, it.allows(request))));
    let wanted = first(wants.iter().map(|it| (it, it.allows(request))));
    let (missing, nearest) = match (&granted, &wanted) {
        (Ok(grant), Ok(_)) => return Ok(grant),
        (_, Err(Some((_, HttpRefusal::Unclear(fault))))) | (Err(Some((_, HttpRefusal::Unclear(fault)))), _) => {
            (Missing::Clarity(*fault), None)
        }
        (Ok(_), Err(nearest)) => (Missing::Wish, nearest.as_ref().map(|(_, why)| why.clone())),
        (Err(nearest), Ok(_)) => (Missing::Grant, nearest.as_ref().map(|(_, why)| why.clone())),
        (Err(nearest), Err(_)) => (Missing::Both, nearest.as_ref().map(|(_, why)| why.clone())),
    };
    let mut denial = Denial::new(request, missing, nearest);
    if matches!(denial.missing, Missing::Clarity(_)) {
        return Err(Box::new(denial));
    }
    if let Err(nearest) = &granted {
        let there = nearest.as_ref().filter(|(_, why)| why.is_there()).map(|(grant, _)| *grant);
        denial.grant = remedy(there, wanted.as_ref().ok().copied(), request);
    }
    if wanted.is_err()
        && let Some(path) = PathPattern::around(request.path)
    {
        let wish = json!({"Url": request.origin(), "Methods": [request.method], "Paths": [path.to_string()]});
        denial.wish = Some(json!({"Http": [wish]}));
    }
    Err(Box::new(denial))
}

/// The same in a call that must change nothing.
///
/// # Errors
/// As [`judge`], and for a method that may change something.
pub fn judge_read_only<'g>(
    grants: &'g [HttpGrant],
    wants: &[HttpWant],
    request: &HttpRequest<'_>,
) -> Result<&'g HttpGrant, Box<Denial>> {
    match request.is_safe() {
        true => judge(grants, wants, request),
        false => Err(Box::new(Denial::new(request, Missing::ReadOnly, None))),
    }
}

/// The first that fits; else the nearest, and why it does not.
fn first<'t, T>(
    judged: impl Iterator<Item = (&'t T, Result<(), HttpRefusal>)>,
) -> Result<&'t T, Option<(&'t T, HttpRefusal)>> {
    let mut nearest: Option<(&T, HttpRefusal)> = None;
    for (it, refused) in judged {
        match refused {
            Ok(()) => return Ok(it),
            Err(refusal) if nearest.as_ref().is_none_or(|(_, best)| best.nearness() < refusal.nearness()) => {
                nearest = Some((it, refusal));
            }
            Err(_) => {}
        }
    }
    Err(nearest)
}

/// The grant that would allow a request: like the one that is there for its host already, with the path that the plugin
/// asks for where it does.
fn remedy(there: Option<&HttpGrant>, wanted: Option<&HttpWant>, request: &HttpRequest<'_>) -> Option<Remedy> {
    let mut grant = there.cloned().unwrap_or_else(|| HttpGrant::to(request.origin()));
    grant.methods = vec![request.method.into()];
    grant.paths = match wanted {
        Some(want) => {
            let fits = |it: &&String| it.parse::<PathPattern>().is_ok_and(|it| it.matches(request.path) == Ok(true));
            want.paths.iter().find(fits).cloned().into_iter().collect()
        }
        None => vec![PathPattern::around(request.path)?.to_string()],
    };
    // Never an advice that does not help.
    grant.allows(request).is_ok().then(|| Remedy::http(&grant))
}

/// A guest's text, made fit for one line of a log.
fn shown(text: &str) -> String {
    let tame = |c: char| if c.is_control() || c == '\u{202e}' { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(SHOWN).map(tame).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    short
}

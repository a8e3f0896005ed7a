//! All the requests that an entry stands for, so that entries can be compared with each other.

use super::{HttpGrant, HttpWant, PathPattern, UrlPattern};

/// What an entry spans. What cannot be read spans nothing.
pub(in crate::grant) struct Span {
    /// None for `*`.
    url: Option<UrlPattern>,
    methods: Vec<String>,
    paths: Vec<PathPattern>,
}

impl Span {
    pub(in crate::grant) fn of_grant(grant: &HttpGrant) -> Option<Self> {
        Self::of(&grant.url, &grant.methods, &grant.paths)
    }

    pub(in crate::grant) fn of_want(want: &HttpWant) -> Option<Self> {
        Self::of(&want.url, &want.methods, &want.paths)
    }

    fn of(url: &str, methods: &[String], paths: &[String]) -> Option<Self> {
        let url = if url == "*" { None } else { Some(url.parse().ok()?) };
        let paths: Vec<PathPattern> = paths.iter().map(|it| it.parse().ok()).collect::<Option<_>>()?;
        // One that lets every clear path pass is not quite the same as none, but nobody means the difference.
        let paths = if paths.iter().any(PathPattern::is_all) { Vec::new() } else { paths };
        Some(Self { url, methods: methods.to_vec(), paths })
    }

    fn has_method(&self, method: Option<&str>) -> bool {
        self.methods.is_empty() || method.is_some_and(|method| self.methods.iter().any(|it| it == method))
    }

    fn has_path(&self, path: Option<&PathPattern>) -> bool {
        self.paths.is_empty() || path.is_some_and(|path| self.paths.iter().any(|it| it.covers(path)))
    }

    /// Whether others, taken together, span all of this.
    pub(in crate::grant) fn is_within(&self, others: &[Self]) -> bool {
        self.is_spanned(others, |other| match (&other.url, &self.url) {
            (Some(other), Some(own)) => other.covers(own),
            (None, _) => true,
            (Some(_), None) => false,
        })
    }

    /// Whether grants, taken together, give all of this wish. One for `*` is given when somewhere all its methods and paths
    /// are granted: which host that is, is the operator's to say.
    pub(in crate::grant) fn is_given_by(&self, grants: &[Self]) -> bool {
        match self.url {
            Some(_) => self.is_within(grants),
            None => self.is_spanned(grants, |_| true),
        }
    }

    fn is_spanned(&self, others: &[Self], takes_url: impl Fn(&Self) -> bool) -> bool {
        let methods: Vec<Option<&str>> = choices(&self.methods).map(|it| it.map(String::as_str)).collect();
        let paths: Vec<Option<&PathPattern>> = choices(&self.paths).collect();
        let spanned = |method: &Option<&str>, path: &Option<&PathPattern>| {
            others.iter().any(|it| takes_url(it) && it.has_method(*method) && it.has_path(*path))
        };
        methods.iter().all(|method| paths.iter().all(|path| spanned(method, path)))
    }

    /// Whether a request fits both.
    pub(in crate::grant) fn overlaps(&self, other: &Self) -> bool {
        let urls = match (&self.url, &other.url) {
            (Some(own), Some(other)) => own.overlaps(other),
            _ => true,
        };
        let shares = |it: &String| other.methods.contains(it);
        let methods = self.methods.is_empty() || other.methods.is_empty() || self.methods.iter().any(shares);
        let meets = |it: &PathPattern| other.paths.iter().any(|other| it.overlaps(other));
        let paths = self.paths.is_empty() || other.paths.is_empty() || self.paths.iter().any(meets);
        urls && methods && paths
    }
}

/// Each of the items; where there are none, the one that stands for all.
fn choices<T>(items: &[T]) -> impl Iterator<Item = Option<&T>> {
    let all = items.is_empty().then_some(None);
    items.iter().map(Some).chain(all)
}

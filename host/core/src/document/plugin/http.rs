//! HTTP requests: granted, or wanted.

use std::collections::BTreeMap;

use super::{list, parsed, words};
use crate::document::decode::{At, Decoder, quoted};
use crate::document::node::Kind;
use crate::document::suggest::{listing, nearest};
use crate::grant::http::{self, Scheme};
use crate::grant::{ClientIdentity, HostPattern, HttpGrant, Injection, PathPattern, Route, UrlPattern, valid_name};

const GRANT: [&str; 8] = ["Url", "Methods", "Paths", "Via", "Inject", "Roots", "Client", "Addresses"];
const INJECTION: [&str; 2] = ["Secret", "Prefix"];
const CLIENT: [&str; 2] = ["Cert", "Key"];
pub(super) const URL: &str = "scheme, host and port, such as \"https://api.example.com\"";

/// The `Http` of the grants; `secrets` are the names that `Inject` may use.
pub(super) fn grants(decoder: &mut Decoder<'_>, at: &At<'_>, secrets: &[&str]) -> Vec<HttpGrant> {
    list(decoder, at, "{\"Url\", \"Methods\", \"Paths\", ...}", |decoder, at, before: &[HttpGrant]| {
        let grant = grant(decoder, at, secrets)?;
        let same = |it: &HttpGrant| (&it.url, &it.methods, &it.paths) == (&grant.url, &grant.methods, &grant.paths);
        if before.iter().any(same) {
            if let Some(error) = decoder.error(at, "the same requests are granted already, and the first entry counts")
            {
                error.help = Some("keep one of the two".into());
            }
            return None;
        }
        Some(grant)
    })
}

fn grant(decoder: &mut Decoder<'_>, at: &At<'_>, secrets: &[&str]) -> Option<HttpGrant> {
    if !decoder.object(at, "{\"Url\", \"Methods\", \"Paths\", ...}", &GRANT) {
        return None;
    }
    let pattern = decoder.required(at, "Url", &GRANT, URL).and_then(|at| parsed(decoder, &at, URL, str::parse));
    let (methods, paths) = narrowed(decoder, at);
    let via = at.get("Via").and_then(|at| via(decoder, &at));
    let inject = at.get("Inject").map(|at| inject(decoder, &at, secrets)).unwrap_or_default();
    let roots = at.get("Roots").and_then(|at| file(decoder, &at, "the path of a file of certificates (PEM)"));
    let client = at.get("Client").and_then(|at| client(decoder, &at));
    let addresses = at.get("Addresses").map(|at| addresses(decoder, &at)).unwrap_or_default();
    let pattern: UrlPattern = pattern?;
    contradictions(decoder, at, &pattern);
    let roots = roots.map(Into::into);
    Some(HttpGrant { methods, paths, via, inject, roots, client, addresses, ..HttpGrant::to(pattern.to_string()) })
}

/// What cannot be had together.
fn contradictions(decoder: &mut Decoder<'_>, at: &At<'_>, pattern: &UrlPattern) {
    if pattern.scheme == Scheme::Http {
        for name in ["Roots", "Client"] {
            let Some(at) = at.get(name) else { continue };
            if let Some(error) = decoder.error_at_key(&at, format!("{name:?} is about TLS, which http:// is without")) {
                error.help = Some(format!("write https:// in \"Url\", or remove {name:?}"));
            }
        }
    }
    let Some(via) = at.get("Via") else { return };
    if let HostPattern::Network(network) = &pattern.host {
        decoder.error(&via, format!("\"Via\" leads to one place, and {network} is many: name a host in \"Url\""));
    }
    if let Some(addresses) = at.get("Addresses")
        && let Some(error) =
            decoder.error_at_key(&addresses, "with \"Via\" no name is looked up, so this opens nothing")
    {
        error.help = Some("remove one of the two".into());
    }
}

/// `Methods` and `Paths`.
pub(super) fn narrowed(decoder: &mut Decoder<'_>, at: &At<'_>) -> (Vec<String>, Vec<String>) {
    let path = |text: &str| text.parse::<PathPattern>().map(|it| it.to_string());
    let methods = at.get("Methods").map(|at| words(decoder, &at, "methods such as \"GET\"", http::method));
    let paths = at.get("Paths").map(|at| words(decoder, &at, "paths such as \"/v1/**\"", path));
    (methods.unwrap_or_default(), paths.unwrap_or_default())
}

fn via(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Route> {
    let what = "a Unix socket (\"unix:/run/name.sock\"), or an address and a port (\"10.0.0.5:8080\")";
    match parsed(decoder, at, what, str::parse)? {
        Route::Unix(path) => {
            let path = decoder.path_text(at, path.to_str()?)?;
            Some(Route::Unix(path.into()))
        }
        address @ Route::Address(_) => Some(address),
    }
}

fn file(decoder: &mut Decoder<'_>, at: &At<'_>, what: &str) -> Option<String> {
    let text = decoder.string(at, what)?;
    decoder.path_text(at, text)
}

fn client(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<ClientIdentity> {
    if !decoder.object(at, "{\"Cert\", \"Key\"}", &CLIENT) {
        return None;
    }
    let mut read = |name: &str, what: &str| {
        let at = decoder.required(at, name, &CLIENT, what)?;
        file(decoder, &at, what)
    };
    let cert = read("Cert", "the path of a certificate (PEM)");
    let key = read("Key", "the path of its private key (PEM)");
    Some(ClientIdentity { cert: cert?.into(), key: key?.into() })
}

fn addresses(decoder: &mut Decoder<'_>, at: &At<'_>) -> Vec<String> {
    list(decoder, at, "networks such as \"127.0.0.0/8\"", |decoder, at, before: &[String]| {
        let network = parsed(decoder, at, "a network such as \"127.0.0.0/8\"", http::network)?;
        let text = network.to_string();
        let wrong = match before.contains(&text) {
            true => Some(format!("{} occurs twice", quoted(&text))),
            false => http::opens_nothing(&network),
        };
        if let Some(wrong) = wrong {
            decoder.error(at, wrong);
            return None;
        }
        Some(text)
    })
}

fn inject(decoder: &mut Decoder<'_>, at: &At<'_>, secrets: &[&str]) -> BTreeMap<String, Injection> {
    let mut found: BTreeMap<String, Injection> = BTreeMap::new();
    if !matches!(at.node.kind, Kind::Object(_)) {
        decoder.expected(at, "an object: {\"Authorization\": {\"Secret\": \"token\", \"Prefix\": \"Bearer \"}}");
        return found;
    }
    if !super::is_few(decoder, at, at.node.members().len()) {
        return found;
    }
    for member in at.node.members() {
        let entry = at.child(member);
        if let Err(wrong) = http::header(&member.key) {
            decoder.error_at_key(&entry, wrong);
        } else if let Some(other) = found.keys().find(|it| it.eq_ignore_ascii_case(&member.key) && **it != member.key) {
            let message = format!("{:?} is the same header as {other:?}", member.key);
            decoder.error_at_key(&entry, message);
        }
        if let Some(injection) = injection(decoder, &entry, secrets) {
            found.entry(member.key.clone()).or_insert(injection);
        }
    }
    found
}

fn injection(decoder: &mut Decoder<'_>, at: &At<'_>, secrets: &[&str]) -> Option<Injection> {
    if matches!(at.node.kind, Kind::String(_)) {
        let help = "name it in \"Secrets\", and write {\"Secret\": name} here";
        if let Some(error) = decoder.error(at, "expected {\"Secret\", \"Prefix\"}: a secret is not written here") {
            error.help = Some(help.into());
        }
        return None;
    }
    if !decoder.object(at, "{\"Secret\", \"Prefix\"}", &INJECTION) {
        return None;
    }
    let what = "a name of \"Secrets\"";
    let secret = decoder.required(at, "Secret", &INJECTION, what).and_then(|at| {
        let name = parsed(decoder, &at, what, |text| valid_name(text).map(|()| text.to_owned()))?;
        if secrets.contains(&name.as_str()) {
            return Some(name);
        }
        let help = match nearest(&name, secrets.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if secrets.is_empty() => {
                format!("say where it comes from: \"Secrets\": {{{name:?}: {{\"File\": path}}}} beside \"Http\"")
            }
            None => format!("known are {}", listing(secrets.iter().copied())),
        };
        if let Some(error) = decoder.error(&at, format!("there is no secret {} in \"Secrets\"", quoted(&name))) {
            error.help = Some(help);
        }
        None
    });
    let what = "what stands before the secret, such as \"Bearer \"";
    let prefix = match at.get("Prefix") {
        Some(at) => parsed(decoder, &at, what, |text| http::prefix(text).map(|()| text.to_owned())),
        None => Some(String::new()),
    };
    Some(Injection { secret: secret?, prefix: prefix? })
}

//! Who is there, and who calls.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use homeostat_core::grant::{ClientIdentity, HttpGrant, Route};
use homeostat_egress::{Bounds, Egress, EgressError, GuestCode, SetupError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::common::{Known, Server, all_of, get, granted, ok, read, request, send, text};

/// A root of trust of its own, in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

struct Leaf {
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("root {}", number()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn roots(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn leaf(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let file = format!("{}-{}", names.join("+"), number());
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) =
            (self.folder.path().join(format!("{file}.pem")), self.folder.path().join(format!("{file}.key")));
        fs::write(&cert_file, cert.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        Leaf { cert: cert.der().clone(), key: key.into(), cert_file, key_file }
    }
}

/// A number that is another one each time.
fn number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, SeqCst)
}

fn config(leaf: &Leaf, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(vec![leaf.cert.clone()], leaf.key.clone_key()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A grant for a name that leads to a server, with roots.
fn grant(server: &Server, host: &str, roots: &Authority) -> HttpGrant {
    HttpGrant {
        via: Some(Route::Address(server.address)),
        roots: Some(roots.roots()),
        ..HttpGrant::to(format!("https://{host}"))
    }
}

#[tokio::test]
async fn a_private_root_is_trusted_where_it_is_named() {
    let ours = Authority::new();
    let leaf = ours.leaf(&["api.example.com", "127.0.0.1"], |_| {});
    let server = Server::tls(config(&leaf, None), |_, got| ok(got.header("host").unwrap())).await;
    let egress = granted([grant(&server, "api.example.com", &ours)]).egress();
    for _ in 0..3 {
        assert_eq!(text(&egress, "https://api.example.com/").await.unwrap(), "api.example.com");
    }
    assert_eq!((server.connections(), egress.counts().reused), (1, 2));
    // By its address, with its port.
    let url = format!("https://{}", server.address);
    let by_address = HttpGrant { roots: Some(ours.roots()), ..HttpGrant::to(&url) };
    let egress = granted([by_address]).egress();
    assert_eq!(text(&egress, &url).await.unwrap(), server.address.to_string());
}

#[tokio::test]
async fn certificates_that_prove_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let old = |it: &mut CertificateParams| {
        (it.not_before, it.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1))
    };
    let early = |it: &mut CertificateParams| {
        (it.not_before, it.not_after) = (date_time_ymd(3001, 1, 1), date_time_ymd(3002, 1, 1))
    };
    for (leaf, says) in [
        (theirs.leaf(&["a.example"], |_| {}), "leads to no root that is trusted"),
        (ours.leaf(&["b.example"], |_| {}), "is for another name"),
        (ours.leaf(&["127.0.0.1"], |_| {}), "is for another name"),
        (ours.leaf(&["a.example"], old), "has expired"),
        (ours.leaf(&["a.example"], early), "is not valid yet"),
    ] {
        let server = Server::tls(config(&leaf, None), |_, _| ok("")).await;
        let egress = granted([grant(&server, "a.example", &ours)]).injecting("X-Key", "", "s3cr3t").egress();
        let refused = get(&egress, "https://a.example/").await.unwrap_err();
        assert!(matches!(refused, EgressError::Tls { .. }) && refused.to_string().contains(says), "{says}: {refused}");
        assert_eq!(refused.guest_code(), GuestCode::TlsCertificateError);
        assert!(!all_of(&refused).contains("s3cr3t"));
        assert_eq!(server.got().len(), 0);
    }
}

#[tokio::test]
async fn a_server_that_asks_who_calls() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let leaf = ours.leaf(&["a.example"], |_| {});
    let server = Server::tls(config(&leaf, Some(&ours)), |_, _| ok("welcome")).await;
    let identity = |leaf: &Leaf| Some(ClientIdentity { cert: leaf.cert_file.clone(), key: leaf.key_file.clone() });
    let plain = grant(&server, "a.example", &ours);
    let known = HttpGrant { client: identity(&ours.leaf(&["me"], |_| {})), ..plain.clone() };
    let unknown = HttpGrant { client: identity(&theirs.leaf(&["me"], |_| {})), ..plain.clone() };
    assert_eq!(text(&granted([known]).egress(), "https://a.example/").await.unwrap(), "welcome");
    for grant in [plain, unknown] {
        // A body, so that the request is under way when the refusal comes.
        let egress = granted([grant]).egress();
        let refused = send(&egress, request("POST", "https://a.example/").body("x".into()).unwrap()).await.unwrap_err();
        assert!(matches!(refused.guest_code(), GuestCode::TlsAlertReceived(_)), "{refused:?}");
        assert!(refused.to_string().contains("Client"), "{refused}");
    }
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let ours = Authority::new();
    let server = Server::new(|_, _| ok("")).await;
    let egress = granted([grant(&server, "a.example", &ours)]).egress();
    // It waits for a request that it understands; hanging up is the best that it may do.
    let short = homeostat_egress::Timeouts { connect: std::time::Duration::from_millis(300), ..crate::common::PATIENT };
    let asked = request("GET", "https://a.example/").body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
    let failed = egress.send(asked, homeostat_egress::Access::Full, short).await.unwrap_err();
    assert!(matches!(failed, EgressError::Timeout { .. }), "{failed}");
}

#[tokio::test]
async fn an_encrypted_answer_that_is_cut_off_is_no_answer() {
    let ours = Authority::new();
    let leaf = ours.leaf(&["a.example"], |_| {});
    // Without a length, only the end of the encryption tells the end from a cut.
    let server =
        Server::tls(config(&leaf, None), |_, _| crate::common::Reply::Reset("HTTP/1.1 200 OK\r\n\r\nhalf".into()))
            .await;
    let egress = granted([grant(&server, "a.example", &ours)]).egress();
    let answer = get(&egress, "https://a.example/").await.unwrap();
    let failed = read(answer.into_body()).await.unwrap_err();
    assert_eq!(failed.guest_code(), GuestCode::HttpResponseIncomplete, "{failed:?}");
}

#[tokio::test]
async fn the_roots_of_the_machine_know_no_private_root() {
    let ours = Authority::new();
    let server = Server::tls(config(&ours.leaf(&["a.example"], |_| {}), None), |_, _| ok("")).await;
    let grant = HttpGrant { via: Some(Route::Address(server.address)), ..HttpGrant::to("https://a.example") };
    let setting = granted([grant]);
    match Egress::new("tester", &setting.grants, &setting.wants, Bounds::default(), Arc::new(Known(setting.secrets))) {
        Ok(egress) => {
            let refused = get(&egress, "https://a.example/").await.unwrap_err();
            assert_eq!(refused.guest_code(), GuestCode::TlsCertificateError, "{refused}");
        }
        Err(error) => assert!(matches!(error, SetupError::NoRoots { .. }), "{error}"),
    }
    assert_eq!(server.got().len(), 0);
}

#[test]
fn files_that_cannot_be_used_are_named_when_a_plugin_is_loaded() {
    let ours = Authority::new();
    let (one, two) = (ours.leaf(&["one"], |_| {}), ours.leaf(&["two"], |_| {}));
    let folder = ours.folder.path();
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let nothing = write("nothing.pem", "");
    let garbage = write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let torn = write("torn.pem", "-----BEGIN CERTIFICATE-----\n!!!\n");
    let grant = HttpGrant::to("https://a.example");
    let roots = |path: &PathBuf| HttpGrant { roots: Some(path.clone()), ..grant.clone() };
    let client = |cert: &PathBuf, key: &PathBuf| HttpGrant {
        client: Some(ClientIdentity { cert: cert.clone(), key: key.clone() }),
        ..roots(&ours.roots())
    };
    for (grant, says) in [
        (roots(&folder.join("none.pem")), "none.pem cannot be read"),
        (roots(&nothing), "nothing.pem holds no certificate"),
        (roots(&garbage), "garbage.pem has no usable root as certificate 1"),
        (roots(&torn), "torn.pem is no valid PEM"),
        (client(&folder.join("none"), &one.key_file), "Client.Cert of the grant of https://a.example"),
        (client(&one.cert_file, &nothing), "holds no private key"),
        (client(&one.cert_file, &two.key_file), "does not fit the certificate in"),
    ] {
        let setting = granted([grant]);
        let secrets = Arc::new(Known(setting.secrets));
        let made = Egress::new("tester", &setting.grants, &setting.wants, Bounds::default(), secrets);
        let refused = made.expect_err(says).to_string();
        assert!(refused.contains(says), "{says}: {refused}");
    }
}

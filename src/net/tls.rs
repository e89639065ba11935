//! TLS for pages, API and signalling: handshakes, and certificates that are read again when their files change.
//!
//! ```text
//! files ──► pair that fits ─► served          every few seconds, when somebody connects: changed? ─► read again
//! none  ──► made here for our addresses                      a pair that does not fit: the old one stays, and a warning
//! ```
//!
//! Media has its own encryption (DTLS, in `webrtc`) and does not come this way. HTTP/1.1 only: a WebSocket over HTTP/2 needs extended CONNECT,
//! which not every browser and proxy has, and the page is a handful of files.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
pub use tokio_rustls::server::TlsStream;

use crate::limits::{TLS_HANDSHAKE_TIMEOUT, TLS_LOOK_EVERY};

/// Apple's systems refuse certificates that live longer than 825 days, even such as a person has agreed to.
const SELF_SIGNED_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there is no certificate. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of certificates cannot be used.
    #[error("http.tls_cert = {path:?}: {wrong}; must be a PEM file with the certificate, then those that lead to its root")]
    Cert {
        /// As it was set.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
    /// The file of the private key cannot be used.
    #[error("http.tls_key = {path:?}: {wrong}; must be a PEM file with the private key of the first certificate in http.tls_cert")]
    Key {
        /// As it was set.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

/// Makes TLS of accepted connections.
pub struct Tls {
    files: Option<Files>,
    served: Mutex<Served>,
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
}

struct Served {
    config: Arc<ServerConfig>,
    /// What was read last, whether it could be used or not.
    stamp: Stamp,
    looked: Option<Instant>,
}

/// Who a file is and when it was written; two of them.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

impl Tls {
    /// With a certificate and its key from PEM files.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Tls, TlsError> {
        let files = Files { cert: cert.to_owned(), key: key.to_owned() };
        let stamp = files.stamp();
        let served = Served { config: files.read()?, stamp, looked: None };
        Ok(Tls { files: Some(files), served: Mutex::new(served) })
    }

    /// With a certificate made now (in seconds since 1970) for these addresses and `localhost`. It lives in memory and ends with the
    /// process: the server writes no files, and whoever wants to be asked only once has a certificate of their own.
    pub fn self_signed(addresses: &[IpAddr], unix_s: u64) -> Result<Tls, TlsError> {
        let failed = |error: rcgen::Error| TlsError::Make(error.to_string());
        let names: Vec<String> = addresses.iter().map(IpAddr::to_string).chain(["localhost".to_owned()]).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        // Clocks of other devices are not ours.
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_s.saturating_sub(24 * 3600));
        params.not_after = params.not_before + SELF_SIGNED_LIFE;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Ninefold");
        let pair = KeyPair::generate().map_err(failed)?;
        let cert = params.self_signed(&pair).map_err(failed)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let config = server_config(vec![cert.der().clone()], key).map_err(TlsError::Make)?;
        Ok(Tls { files: None, served: Mutex::new(Served { config, stamp: Stamp::default(), looked: None }) })
    }

    /// The handshake of one connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config(Instant::now()));
        timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// What is served now; looks at the files if nobody did lately. A look is two `stat`, so it may be done on the way.
    fn config(&self, now: Instant) -> Arc<ServerConfig> {
        // What a panic left behind is a whole configuration.
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = served.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= TLS_LOOK_EVERY);
        if let Some(files) = self.files.as_ref().filter(|_| is_due) {
            served.looked = Some(now);
            let stamp = files.stamp();
            if stamp != served.stamp {
                served.stamp = stamp;
                match files.read() {
                    Ok(config) => {
                        served.config = config;
                        tracing::info!("the certificate was read again");
                    }
                    Err(error) => tracing::warn!(%error, "the new certificate cannot be used, so the old one stays"),
                }
            }
        }
        Arc::clone(&served.config)
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        // A link that points to another file now is another file.
        let of = |path| std::fs::metadata(path).ok().map(|data| (data.ino(), data.len(), data.mtime(), data.mtime_nsec()));
        [of(&self.cert), of(&self.key)]
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let bad_cert = |wrong: String| TlsError::Cert { path: self.cert.clone(), wrong };
        let bad_key = |wrong: String| TlsError::Key { path: self.key.clone(), wrong };
        let text = std::fs::read(&self.cert).map_err(|error| bad_cert(error.to_string()))?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().map_err(|error| bad_cert(error.to_string()))?;
        if chain.is_empty() {
            return Err(bad_cert("there is no certificate in it".to_owned()));
        }
        let text = std::fs::read(&self.key).map_err(|error| bad_key(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| bad_key("there is no private key in it".to_owned()))?;
        server_config(chain, key).map_err(bad_key)
    }
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    /// Files of this test only, gone with it.
    struct Pair(PathBuf);

    impl Pair {
        fn new(name: &str) -> Pair {
            let folder = std::env::temp_dir().join(format!("ninefold-tls-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            Pair(folder)
        }

        fn cert(&self) -> PathBuf {
            self.0.join("cert.pem")
        }

        fn key(&self) -> PathBuf {
            self.0.join("key.pem")
        }

        fn open(&self) -> Result<Tls, String> {
            Tls::from_files(&self.cert(), &self.key()).map_err(|error| error.to_string())
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// PEM of a certificate and of its key.
    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pem = |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        (pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
    }

    #[test]
    fn files_that_change_are_read_again_and_a_broken_pair_is_not() {
        let pair = Pair::new("change");
        let ((cert, key), (new_cert, new_key)) = (made(), made());
        std::fs::write(pair.cert(), &cert).expect("written");
        std::fs::write(pair.key(), &key).expect("written");
        let tls = pair.open().expect("a pair");
        let begin = Instant::now();
        let after = |looks: u32| begin + TLS_LOOK_EVERY * looks;
        let first = tls.config(begin);
        assert!(Arc::ptr_eq(&first, &tls.config(after(1))), "nothing has changed");

        std::fs::write(pair.cert(), &new_cert).expect("written");
        assert!(Arc::ptr_eq(&first, &tls.config(after(1) + TLS_LOOK_EVERY / 2)), "not looked at so soon");
        assert!(Arc::ptr_eq(&first, &tls.config(after(2))), "the key is still the old one");
        std::fs::write(pair.key(), &new_key).expect("written");
        let second = tls.config(after(3));
        assert!(!Arc::ptr_eq(&first, &second), "a new pair");
        std::fs::write(pair.cert(), "nonsense").expect("written");
        assert!(Arc::ptr_eq(&second, &tls.config(after(4))));
        std::fs::remove_file(pair.cert()).expect("removed");
        assert!(Arc::ptr_eq(&second, &tls.config(after(5))));
        std::fs::write(pair.cert(), &new_cert).expect("written");
        assert!(!Arc::ptr_eq(&second, &tls.config(after(6))), "it is back");
    }

    #[test]
    fn what_is_wrong_with_files_is_said_with_their_setting() {
        let pair = Pair::new("wrong");
        let ((cert, key), (_, other_key)) = (made(), made());
        for (cert, key, begin, part) in [
            (None, Some(&*key), "http.tls_cert = \"", "cert.pem\": No such file"),
            (Some("nonsense"), Some(&*key), "http.tls_cert = \"", "there is no certificate in it; must be a PEM file with the certificate"),
            (Some(&*cert), None, "http.tls_key = \"", "key.pem\": No such file"),
            (Some(&*cert), Some("nonsense"), "http.tls_key = \"", "there is no private key in it"),
            (Some(&*cert), Some(&*other_key), "http.tls_key = \"", "must be a PEM file with the private key of the first certificate"),
        ] {
            for (path, text) in [(pair.cert(), cert), (pair.key(), key)] {
                let _ = std::fs::remove_file(&path);
                if let Some(text) = text {
                    std::fs::write(&path, text).expect("written");
                }
            }
            let error = pair.open().err().expect("it is wrong");
            assert!(error.starts_with(begin) && error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn a_handshake_with_the_certificate_of_the_files() {
        let pair = Pair::new("handshake");
        let (cert, key) = made();
        std::fs::write(pair.cert(), &cert).expect("written");
        std::fs::write(pair.key(), &key).expect("written");
        let tls = pair.open().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let mut client =
            builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(client));
        let dial = async {
            let stream = TcpStream::connect(address).await.expect("it listens");
            connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
        };
        let take = async { tls.accept(listener.accept().await.expect("somebody comes").0).await };
        let (dialled, taken) = tokio::join!(dial, take);
        assert_eq!(dialled.expect("it trusts the certificate").get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(taken.is_ok());

        // Whoever speaks something else is no reason to wait.
        let strange = async { TcpStream::connect(address).await?.write_all(b"GET / HTTP/1.1\r\n\r\n").await };
        let take = async { tls.accept(listener.accept().await.expect("somebody comes").0).await };
        let (_, taken) = tokio::join!(strange, take);
        assert!(taken.is_err());
    }

    #[test]
    fn one_made_here() {
        let addresses: Vec<IpAddr> = ["192.0.2.7", "2001:db8::7", "127.0.0.1"].map(|ip| ip.parse().expect("an address")).to_vec();
        let tls = Tls::self_signed(&addresses, 1_800_000_000).expect("a certificate");
        assert_eq!(tls.config(Instant::now()).alpn_protocols, [b"http/1.1"]);
        assert!(Tls::self_signed(&[], 0).is_ok(), "a machine without addresses and without a clock");
    }
}

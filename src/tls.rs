//! TLS: a certificate from files, taken again when they have changed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A certificate and its key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Certificate>);

struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files were when they were read.
    read: Mutex<Stamps>,
}

/// When files were written, and how long they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads a chain of certificates, its own first, and the key, both PEM.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be; the text names it.
    pub fn load(cert: &Path, key: &Path) -> io::Result<Self> {
        let read = stamps(cert, key);
        let current = RwLock::new(read_pair(cert, key)?);
        let (cert, key) = (cert.into(), key.into());
        Ok(Self(Arc::new(Certificate { cert, key, current, read: Mutex::new(read) })))
    }

    /// Reads the files again: who connects from now on is shown what they have.
    ///
    /// # Errors
    /// Those of [`load`](Self::load); the certificate of before stays.
    pub fn reload(&self) -> io::Result<()> {
        let Certificate { cert, key, current, read } = &*self.0;
        *read.lock() = stamps(cert, key);
        *current.write() = read_pair(cert, key)?;
        log::info!("certificate read again: {}", cert.display());
        Ok(())
    }

    /// Reads the files again whenever they have changed.
    pub(crate) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Certificate { cert, key, read, .. } = &*self.0;
            let has_changed = *read.lock() != stamps(cert, key);
            if has_changed && let Err(error) = self.reload() {
                log::warn!("{error}; the certificate of before stays");
            }
        }
    }

    /// What connections are accepted with, HTTP/2 before HTTP/1.1.
    pub(crate) fn server_config(&self) -> io::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read_pair(cert: &Path, key: &Path) -> io::Result<Arc<CertifiedKey>> {
    let named = |path: &Path, error: &dyn fmt::Display| {
        io::Error::other(format!("{}: {error}", path.display()))
    };
    let chain =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| named(cert, &error))?;
    if chain.is_empty() {
        return Err(named(cert, &"no certificate in PEM"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
    // It also says if the key is another certificate's.
    let pair = CertifiedKey::from_der(chain, secret, &provider());
    pair.map(Arc::new).map_err(|error| named(key, &error))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

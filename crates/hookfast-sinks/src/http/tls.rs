//! How receivers are authenticated. Must not know addresses or requests.

use crate::Error;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Sessions remembered for resumption: a resumed handshake costs a third.
const SESSIONS_MAX: usize = 2_048;

/// A connector that trusts the public authorities and those in `extra_ca_pem`, and speaks HTTP/1.1 alone.
pub(super) fn connector(extra_ca_pem: Option<&str>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_ca_pem {
        add_extra(&mut roots, pem)?;
    }
    // Named here, so that another crate's choice of a process-wide provider cannot matter.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add_extra(roots: &mut RootCertStore, pem: &str) -> Result<(), Error> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| Error::ExtraCa(error.to_string()))?;
        roots.add(certificate).map_err(|error| Error::ExtraCa(error.to_string()))?;
    }
    if roots.len() == before { Err(Error::ExtraCa("there is none in it".to_owned())) } else { Ok(()) }
}

use std::sync::Arc;
#[derive(Debug, thiserror::Error)]
#[error("no TLS")]
pub struct TlsError;
pub struct TlsSource;
impl TlsSource {
    pub fn new(_: Arc<crate::config::Config>) -> Self { Self }
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> { Err(TlsError) }
}

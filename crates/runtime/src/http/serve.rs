use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::listen::TlsFiles;
use crate::stop::Stop;

/// Bounds for clients.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// For a TLS handshake, and for a request's line and headers.
    pub header_timeout: Duration,
    /// Connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// After a stop is requested: how long begun requests may take. Must be below the drain deadline of the process.
    pub grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            connections: 1_024,
            grace: Duration::from_secs(10),
        }
    }
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A PEM file cannot be used.
    #[error("cannot use {0} for TLS")]
    Pem(String, #[source] rustls::pki_types::pem::Error),
    /// Certificate and key do not fit.
    #[error("the certificate and key cannot be used for TLS")]
    Tls(#[from] rustls::Error),
}

/// A server's certificate, ready for use.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    pub fn read(files: &TlsFiles) -> Result<Self, ServeError> {
        let pem = |path: &Path| {
            let path = path.display().to_string();
            move |error| ServeError::Pem(path, error)
        };
        let chain = CertificateDer::pem_file_iter(&files.certificate)
            .map_err(pem(&files.certificate))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(&files.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Serves until a stop is requested, then takes no more connections, finishes begun requests within the grace, and
/// returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    limits: ServeLimits,
    stop: Stop,
) -> Result<(), ServeError> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30));
    let mut connections = JoinSet::new();
    loop {
        // Ended connections are collected here; a panic of a handler ends its own connection only.
        while connections.try_join_next().is_some() {}
        let Some(Ok(slot)) = stop.or(slots.clone().acquire_owned()).await else {
            break;
        };
        let Some(accepted) = stop.or(listener.accept()).await else {
            break;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a client that left at once.
                tracing::warn!(%error, "connection was not accepted");
                let _ = stop.or(tokio::time::sleep(Duration::from_millis(50))).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (builder, router, watcher) = (builder.clone(), router.clone(), graceful.watcher());
        let tls = tls.clone();
        connections.spawn(async move {
            let result = match tls {
                None => converse(builder, stream, router, watcher).await,
                Some(Tls(acceptor)) => {
                    match tokio::time::timeout(limits.header_timeout, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => converse(builder, stream, router, watcher).await,
                        Ok(Err(error)) => Err(error.into()),
                        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended badly");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            left = connections.len(),
            "requests were cut off at the end of the grace"
        );
    }
    connections.shutdown().await;
    Ok(())
}

async fn converse<S>(
    builder: auto::Builder<TokioExecutor>,
    stream: S,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), crate::tasks::BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    watcher.watch(connection).await
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;

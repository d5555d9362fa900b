//! One address whose server can change, in place of a virtual IP, a DNS name or a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};

use crate::error::Result;

pub(crate) struct Forwarder {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    accepted: AtomicU64,
}

impl Forwarder {
    /// Starts forwarding to a port of this machine.
    pub(crate) async fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { target: target.into(), accepted: 0.into() });
        tokio::spawn(forward(listener, Arc::clone(&shared)));
        Ok(Self { port, shared })
    }

    /// Forwards new connections to another port. Open connections stay.
    pub(crate) fn switch(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    /// The number of accepted connections.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// The URL with the port of the forwarder.
    pub(crate) fn through(&self, url: &str) -> Result<String> {
        let port = port_of(url)?;
        Ok(url.replacen(&format!(":{port}/"), &format!(":{}/", self.port), 1))
    }
}

async fn forward(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let target = shared.target.load(Ordering::Relaxed);
        tokio::spawn(async move {
            // If the server is down, the connection is closed at once.
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                let _ = client.set_nodelay(true);
                let _ = server.set_nodelay(true);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// The port of a URL of the testbed.
pub(crate) fn port_of(url: &str) -> Result<u16> {
    let after = url.split("@127.0.0.1:").nth(1).ok_or("no port in the URL")?;
    Ok(after.split('/').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_goes_through_the_forwarder() {
        let forwarder = Forwarder::start(15_001).await.unwrap();
        let url = "postgres://postgres:pw@127.0.0.1:15001/name?sslmode=disable";
        let through = forwarder.through(url).unwrap();
        assert_eq!(port_of(&through).unwrap(), forwarder.port);
        assert!(through.ends_with("/name?sslmode=disable"), "{through}");
    }
}

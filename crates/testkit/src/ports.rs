use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems give to outgoing connections: any of those may be taken between the moment it is found free
/// and the moment it is listened on, and again whenever a process is killed and started anew.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port of 127.0.0.1 that nobody listens on, for a process that is told where to listen. Each is given once a process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at one time begin at different places.
    let begin = (u64::from(std::process::id()) * 7_919 % u64::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_listened_on() {
        let ports = [free_port(), free_port()];
        assert_ne!(ports[0], ports[1]);
        for port in ports {
            assert!((FIRST..FIRST + COUNT).contains(&port));
            drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
    }
}

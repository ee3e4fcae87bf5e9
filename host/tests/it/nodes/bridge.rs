//! A way to the database that tests can block.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What becomes of the bytes that want to pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Nothing passes, and nothing is said about it.
    Blocked,
    /// Connections are closed, and new ones at once.
    Cut,
}

/// A port that leads to the database.
pub struct Bridge {
    pub port: u16,
    pub way: watch::Sender<Way>,
}

impl Bridge {
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let ways = way.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mut way) = (target.clone(), ways.subscribe());
                if *way.borrow() == Way::Cut {
                    continue;
                }
                tokio::spawn(async move {
                    let server = TcpStream::connect(target).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let (up, down) = (way.clone(), way.clone());
                    tokio::select! {
                        () = pass(from_client, to_server, up) => {}
                        () = pass(from_server, to_client, down) => {}
                        _ = way.wait_for(|way| *way == Way::Cut) => {}
                    }
                });
            }
        });
        Self { port, way }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if way.wait_for(|way| *way != Way::Blocked).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

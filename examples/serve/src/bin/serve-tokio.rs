//! The append server on tokio: many threads, tasks that move between them.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use logboom_serve::{Answers, Appender, Options, Requests};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long clients may take to read their last answers when the server stops.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let (engine, listener) = Options::parse().start()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { serve(TcpListener::from_std(listener)?, Appender::new(engine.clone())).await })?;
    // All accepted requests are durable when this returns.
    Ok(engine.close()?)
}

/// Serves until SIGTERM or SIGINT.
async fn serve(listener: TcpListener, appender: Appender) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let appender = Arc::new(appender);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let connection = connection(accepted?.0, Arc::clone(&appender), stopping.clone());
                connections.spawn(connection);
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop((listener, stop));
    // Clients that do not read their answers in time lose them.
    drop(timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await);
    connections.shutdown().await;
    Ok(())
}

async fn connection(stream: TcpStream, appender: Arc<Appender>, stopping: watch::Receiver<()>) {
    drop(stream.set_nodelay(true));
    let (read, write) = stream.into_split();
    let (requests, answers) = logboom_serve::connection(appender);
    // Both directions run concurrently: requests are accepted while others wait for the disk.
    tokio::join!(read_requests(read, requests, stopping), write_answers(write, answers));
}

/// Reads requests until the connection ends, a request is invalid, or the server stops.
async fn read_requests(
    mut stream: OwnedReadHalf,
    mut requests: Requests<Arc<Appender>>,
    mut stopping: watch::Receiver<()>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read.unwrap_or(0),
            _ = stopping.changed() => 0,
        };
        if read == 0 || !requests.take(&buffer[..read]).await {
            return;
        }
    }
}

async fn write_answers(mut stream: OwnedWriteHalf, mut answers: Answers) {
    let mut out = Vec::new();
    while answers.collect(&mut out).await {
        if stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
    }
}

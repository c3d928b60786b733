//! The append server on tokio-uring: one thread, sockets on its ring, the log on the engine's own.

use std::{error::Error, net::Shutdown, pin::pin, rc::Rc, time::Duration};

use clap::Parser;
use logboom_serve::{Answers, Appender, Options, Requests};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_uring::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long a client may take to fetch its last answers when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// The exit status where the kernel has no io_uring for this process: `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;

fn main() -> Result<std::process::ExitCode> {
    let options = Options::parse();
    let runtime = match tokio_uring::Runtime::new(&tokio_uring::builder()) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no io_uring here: {error:#}");
            return Ok(UNAVAILABLE.into());
        }
    };
    let (engine, listener) = options.start()?;
    runtime.block_on(serve(TcpListener::from_std(listener), Appender::new(engine.clone())))?;
    // Everything that was accepted is durable when this returns.
    engine.close()?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// Serves until a signal comes.
async fn serve(listener: TcpListener, appender: Appender) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let appender = Rc::new(appender);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    // One accept is under way at a time, whatever else happens meanwhile: one that is dropped stays with the kernel,
    // and would take the next connection for nobody.
    let mut accepting = pin!(listener.accept());
    loop {
        tokio::select! {
            accepted = &mut accepting => {
                let connection = connection(accepted?.0, Rc::clone(&appender), stopping.clone());
                connections.spawn_local(connection);
                accepting.set(listener.accept());
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(stop);
    // Clients that do not read their answers in time lose them.
    drop(timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await);
    connections.shutdown().await;
    Ok(())
}

async fn connection(stream: TcpStream, appender: Rc<Appender>, stopping: watch::Receiver<()>) {
    drop(stream.set_nodelay(true));
    let stream = Rc::new(stream);
    let (requests, answers) = logboom_serve::connection(appender);
    // A read that is under way belongs to the kernel, its buffer too: when the server stops it is not dropped, but made
    // to end.
    let closer = tokio_uring::spawn(close_when(stopping.clone(), Rc::clone(&stream)));
    // Both ends go on by themselves: a request is accepted while others wait for the disk.
    tokio::join!(read_requests(&stream, requests, stopping), write_answers(&stream, answers));
    closer.abort();
}

async fn close_when(mut stopping: watch::Receiver<()>, stream: Rc<TcpStream>) {
    drop(stopping.changed().await);
    drop(stream.shutdown(Shutdown::Read));
}

/// Ends with the connection, with a request that is none, or when the server stops.
async fn read_requests(stream: &TcpStream, mut requests: Requests<Rc<Appender>>, stopping: watch::Receiver<()>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read;
        (read, buffer) = stream.read(buffer).await;
        // What the socket has received can still be read after it was closed for reading.
        let read = if stopping.has_changed().is_err() { 0 } else { read.unwrap_or(0) };
        if read == 0 || !requests.take(&buffer[..read]).await {
            return;
        }
    }
}

async fn write_answers(stream: &TcpStream, mut answers: Answers) {
    let mut out = Vec::new();
    while answers.collect(&mut out).await {
        let written;
        (written, out) = stream.write_all(out).await;
        if written.is_err() {
            return;
        }
        out.clear();
    }
}

//! A server on loopback that speaks as much of S3 as a store needs, and fails as it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A bucket in memory. Its threads end with the process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// By key, the bucket left out.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// What the next requests of a method meet, in order.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// Puts are carried out whatever their conditions are.
    pub(crate) ignores_conditions: bool,
    /// Methods and keys of all requests.
    pub(crate) log: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status and code, and nothing is done.
    Refuse(u16, &'static str),
    /// The connection is cut, and nothing is done.
    Cut,
    /// It is done, and the connection is cut.
    CutAfter,
    /// The connection is cut in the middle of the answer's body.
    CutBody,
    /// The body is a byte shorter than the object is, and says so.
    ShortBody,
}

struct Request {
    method: String,
    /// Decoded, without the bucket.
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The most names in a page of a listing: few, so that there are pages.
const PAGE: usize = 3;

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, state: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next requests of the method meet these faults.
    pub(crate) fn fail(&self, method: &'static str, faults: &[Fault]) {
        self.state().faults.extend(faults.iter().map(|fault| (method, *fault)));
    }

    /// How many requests of the method there were since the last time.
    pub(crate) fn take_count(&self, method: &str) -> usize {
        let mut state = self.state();
        let count = state.log.iter().filter(|line| line.starts_with(method)).count();
        state.log.clear();
        count
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let request = Request::read(&mut reader)?;
            let fault = self.fault(&request.method);
            let response = match fault {
                Some(Fault::Cut) => return None,
                Some(Fault::Refuse(status, code)) => Response::error(status, code),
                _ => self.answer(&request),
            };
            if fault == Some(Fault::CutAfter) {
                return None;
            }
            response.write(&mut writer, request.method == "HEAD", fault)?;
        }
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        let mut state = self.state();
        let at = state.faults.iter().position(|(of, _)| *of == method)?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.state();
        state.log.push(format!("{} {}", request.method, request.key));
        match &*request.method {
            "PUT" => state.put(request),
            "GET" if request.key.is_empty() => state.list(&request.query),
            "GET" | "HEAD" => state.get(request),
            "DELETE" => {
                state.objects.remove(&request.key);
                Response { status: 204, headers: vec![], body: vec![] }
            }
            _ => Response::error(405, "MethodNotAllowed"),
        }
    }
}

impl State {
    fn put(&mut self, request: &Request) -> Response {
        let is_conditional = request.headers.get("if-none-match").is_some_and(|value| value == "*");
        assert!(is_conditional, "a put of {} that would overwrite", request.key);
        if !self.ignores_conditions && self.objects.contains_key(&request.key) {
            return Response::error(412, "PreconditionFailed");
        }
        self.objects.insert(request.key.clone(), request.body.clone());
        Response { status: 200, headers: vec![("ETag", "\"e\"".into())], body: vec![] }
    }

    fn get(&self, request: &Request) -> Response {
        let Some(object) = self.objects.get(&request.key) else { return Response::error(404, "NoSuchKey") };
        let mut headers = vec![
            ("ETag", "\"e\"".to_owned()),
            ("Last-Modified", "Mon, 30 Nov 2026 12:00:00 GMT".to_owned()),
            ("Accept-Ranges", "bytes".to_owned()),
        ];
        let Some(range) = request.headers.get("range") else {
            return Response { status: 200, headers, body: object.clone() };
        };
        let (start, end) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
        let start: usize = start.parse().expect("an offset");
        let end = end.parse::<usize>().expect("an offset").saturating_add(1).min(object.len());
        if start >= object.len() {
            return Response::error(416, "InvalidRange");
        }
        headers.push(("Content-Range", format!("bytes {start}-{}/{}", end - 1, object.len())));
        Response { status: 206, headers, body: object[start..end].to_vec() }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let of = |key: &str| query.get(key).map_or("", String::as_str);
        let after = of("start-after").max(of("continuation-token"));
        let mut found = self.objects.iter().filter(|(key, _)| key.starts_with(of("prefix")) && key.as_str() > after);
        let page: Vec<_> = found.by_ref().take(PAGE).collect();
        let mut body = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
        for (key, bytes) in &page {
            body += &format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>&quot;e&quot;</ETag>\
                 <LastModified>2026-11-30T12:00:00.000Z</LastModified></Contents>",
                bytes.len()
            );
        }
        if let (Some((last, _)), Some(_)) = (page.last(), found.next()) {
            body += &format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>");
        }
        body += "</ListBucketResult>";
        Response { status: 200, headers: vec![("Content-Type", "application/xml".into())], body: body.into() }
    }
}

impl Request {
    /// The next request of a connection; `None` where it ends.
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let line = read_line(reader)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let mut headers = BTreeMap::new();
        loop {
            let line = read_line(reader)?;
            let Some((key, value)) = line.split_once(':') else { break };
            headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().expect("a length"))];
        reader.read_exact(&mut body).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = path.strip_prefix("/bucket").expect("the bucket's name comes first").trim_start_matches('/');
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(key, value)| (key.to_owned(), decode(value))).collect();
        Some(Self { method, key: decode(key), query, headers, body })
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

/// Without the escapes of a URL.
fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind.get(..2).and_then(|digits| str::from_utf8(digits).ok())) {
            (b'%', Some(digits)) => {
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest = &behind[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).expect("a name in UTF-8")
}

impl Response {
    fn error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?>\n<Error>\n  <Code>{code}</Code>\n</Error>\n");
        Self { status, headers: vec![("Content-Type", "application/xml".into())], body: body.into() }
    }

    fn write(mut self, writer: &mut TcpStream, is_head: bool, fault: Option<Fault>) -> Option<()> {
        if fault == Some(Fault::ShortBody) {
            self.body.pop();
        }
        let mut text = format!("HTTP/1.1 {} x\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (key, value) in self.headers {
            text += &format!("{key}: {value}\r\n");
        }
        text += "\r\n";
        writer.write_all(text.as_bytes()).ok()?;
        if fault == Some(Fault::CutBody) {
            writer.write_all(&self.body[..self.body.len() / 2]).ok()?;
            return None;
        }
        if !is_head {
            writer.write_all(&self.body).ok()?;
        }
        Some(())
    }
}

//! The fake of Azure itself: the conditions, checksums and faults that other tests rely on.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;

use crate::support::azure_fake::{AzureFake, Fault, On, REQUEST_ID};

/// Requests without a client library, so that each header is the test's own.
struct Client {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Client {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Client { runtime, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn start(
        &self,
        method: Method,
        url: String,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> tokio::task::JoinHandle<Option<Answer>> {
        let mut request = self.client.request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.spawn(async move {
            let answer = request.send().await.ok()?;
            let header =
                |name: &str| answer.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned());
            let (status, code, etag) = (answer.status().as_u16(), header("x-ms-error-code"), header("etag"));
            let content_range = header("content-range");
            Some(Answer { status, code, etag, content_range, body: answer.bytes().await.ok()?.to_vec() })
        })
    }

    fn send(&self, method: Method, url: String, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let sent = self.start(method, url, headers, body);
        self.runtime.block_on(sent).unwrap()
    }

    fn put(&self, url: String, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let answer = self.send(Method::PUT, url, headers, body).unwrap();
        (answer.status, answer.code)
    }
}

struct Answer {
    status: u16,
    code: String,
    etag: String,
    content_range: String,
    body: Vec<u8>,
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const CREATE: [(&str, &str); 3] =
    [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "2048"), ("x-ms-blob-sequence-number", "7")];

#[test]
fn page_blobs_keep_conditions_and_checksums() {
    let (fake, client) = (AzureFake::start(), Client::new());
    let (blob, page) = (fake.blob("b"), fake.blob("b") + "&comp=page");
    assert_eq!(client.put(blob.clone(), &[&CREATE[..], &[("if-none-match", "*")]].concat(), b""), refused(201, ""));
    assert_eq!(
        client.put(blob.clone(), &[&CREATE[..], &[("if-none-match", "*")]].concat(), b""),
        refused(409, "BlobAlreadyExists")
    );
    assert_eq!((fake.is_page_blob("b"), fake.sequence_number("b"), fake.content("b").unwrap().len()), (true, Some(7), 2048));
    let ones = [1; 512];
    let write = |more: &[(&str, &str)]| {
        client.put(page.clone(), &[&[("x-ms-page-write", "update"), ("range", "bytes=512-1023")], more].concat(), &ones)
    };
    let (crc64, md5) = (BASE64.encode(blob::checksum::crc64(&ones)), BASE64.encode(blob::checksum::md5(&ones)));
    let before = fake.etag("b").unwrap();
    for (more, wanted) in [
        ([("x-ms-content-crc64", "AAAAAAAAAAA=")], refused(400, "Crc64Mismatch")),
        ([("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], refused(400, "Md5Mismatch")),
        ([("if-match", "\"0x99\"")], refused(412, "ConditionNotMet")),
        ([("x-ms-if-sequence-number-eq", "8")], refused(412, "SequenceNumberConditionNotMet")),
        ([("x-ms-if-sequence-number-le", "6")], refused(412, "SequenceNumberConditionNotMet")),
        ([("x-ms-if-sequence-number-lt", "7")], refused(412, "SequenceNumberConditionNotMet")),
    ] {
        assert_eq!(write(&more), wanted);
        assert_eq!(fake.etag("b").unwrap(), before);
    }
    for more in [
        [("x-ms-content-crc64", crc64.as_str())],
        [("content-md5", md5.as_str())],
        [("if-match", "*")],
        [("x-ms-if-sequence-number-eq", "7")],
        [("x-ms-if-sequence-number-le", "7")],
        [("x-ms-if-sequence-number-lt", "8")],
    ] {
        let before = fake.etag("b");
        assert_eq!(write(&more), refused(201, ""), "{more:?}");
        assert_ne!(fake.etag("b"), before, "each write is another version");
    }
    assert_eq!(fake.content("b").unwrap()[512..1024], ones);
    let ranges = || {
        let answer = client.send(Method::GET, fake.blob("b") + "&comp=pagelist", &[], b"").unwrap();
        String::from_utf8(answer.body).unwrap()
    };
    assert!(ranges().contains("<Start>512</Start><End>1023</End>"), "{}", ranges());
    let clear = [("x-ms-page-write", "clear"), ("range", "bytes=0-1023"), ("x-ms-if-sequence-number-eq", "7")];
    assert_eq!(client.put(page.clone(), &clear, b""), refused(201, ""));
    assert!(!ranges().contains("<Start>") && fake.content("b").unwrap().iter().all(|byte| *byte == 0));
    let metadata = |etag: &str| client.put(fake.blob("b") + "&comp=metadata", &[("x-ms-meta-a", "1"), ("if-match", etag)], b"");
    assert_eq!(metadata(&before), refused(412, "ConditionNotMet"));
    assert_eq!(metadata(&fake.etag("b").unwrap()), refused(200, ""));
    assert_eq!(fake.metadata("b", "a").as_deref(), Some("1"));
    let increment = [("x-ms-sequence-number-action", "increment")];
    assert_eq!(client.put(fake.blob("b") + "&comp=properties", &increment, b""), refused(200, ""));
    assert_eq!((fake.sequence_number("b"), fake.metadata("b", "a").as_deref()), (Some(8), Some("1")));
    assert_eq!(client.put(fake.blob("b"), &[("x-ms-blob-type", "BlockBlob")], b"x"), refused(409, "InvalidBlobType"));
}

#[test]
fn faults_do_what_they_say() {
    let (fake, client) = (AzureFake::start(), Client::new());
    let put = || client.send(Method::PUT, fake.blob("b"), &[("x-ms-blob-type", "BlockBlob")], &[1; 100]);
    fake.fail(On::PutBlob, [Fault::Reset, Fault::LostAnswer, Fault::DoneThenAnswer(503, "ServerBusy"), Fault::DoneTwice]);
    assert!(put().is_none() && fake.etag("b").is_none());
    assert!(put().is_none() && fake.etag("b").is_some());
    let before = fake.etag("b");
    assert_eq!(put().unwrap().status, 503);
    assert_ne!(fake.etag("b"), before);
    assert_eq!(put().unwrap().status, 201);
    fake.fail(On::PutBlob, [Fault::DoneAgainLater, Fault::Hold, Fault::Delay(Duration::from_millis(1))]);
    put();
    fake.wait_held(1);
    let held = client.start(Method::PUT, fake.blob("b"), &[("x-ms-blob-type", "BlockBlob")], &[2; 100]);
    fake.wait_held(2);
    // A request that the server has is done even if its client is gone.
    held.abort();
    let before = fake.etag("b");
    fake.release();
    fake.wait_until_changed("b", &before);
    put();
    fake.wait_seen(On::PutBlob, 7);
    fake.put_plain("b", vec![3; 100], &[]);
    let get = |fault| {
        fake.fail(On::Get, [fault]);
        client.send(Method::GET, fake.blob("b"), &[("range", "bytes=10-19")], b"")
    };
    let wrong = get(Fault::WrongRange).unwrap();
    assert_eq!((wrong.status, wrong.content_range.as_str(), wrong.body.len()), (206, "bytes 0-9/100", 10));
    assert_eq!(get(Fault::WrongTotal).unwrap().content_range, "bytes 10-19/4196");
    let whole = get(Fault::WholeBlob).unwrap();
    assert_eq!((whole.status, whole.content_range.as_str(), whole.body.len()), (200, "", 100));
    assert_eq!(get(Fault::CorruptBody).unwrap().body, [&[2][..], &[3; 9]].concat());
    assert!(get(Fault::ShortBody).is_none());
    let refused = get(Fault::Answer(403, "AuthorizationFailure")).unwrap();
    assert!(String::from_utf8(refused.body).unwrap().contains(&format!("RequestId:{REQUEST_ID}")));
    fake.fail(On::Get, [Fault::EndlessError(500), Fault::EndlessBody]);
    for status in [500, 200] {
        client.runtime.block_on(async {
            let mut answer = client.client.get(fake.blob("b")).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            let mut bytes = 0;
            while bytes < 1 << 20 {
                bytes += answer.chunk().await.unwrap().unwrap().len();
            }
        });
    }
}

#[test]
fn what_others_do_is_seen() {
    let (fake, client) = (AzureFake::start(), Client::new());
    fake.put_plain("d/plain", vec![0; 10], &[("key", "value")]);
    fake.put_folder_marker("d");
    fake.put_directory("e");
    let head = |name: &str| client.send(Method::HEAD, fake.blob(name), &[], b"").unwrap();
    let first = head("d/plain").etag;
    fake.rot_byte("d/plain", 3);
    assert_eq!((head("d/plain").etag, fake.content("d/plain").unwrap()[3]), (first.clone(), 1));
    fake.flip_byte("d/plain", 3);
    assert_ne!(head("d/plain").etag, first);
    fake.set_list_page(2);
    let list = |more: &str| {
        let url = fake.blob("").replace("/?", "?") + "&restype=container&comp=list" + more;
        String::from_utf8(client.send(Method::GET, url, &[], b"").unwrap().body).unwrap()
    };
    let first = list("&include=metadata");
    assert!(first.contains("<hdi_isfolder>true") && first.contains("<NextMarker>e</NextMarker>"), "{first}");
    assert!(list("&marker=e").contains("<Name>e</Name>") && !list("&prefix=e").contains("d/plain"));
    fake.set_headers("e", &[("x-ms-lease-state", "leased")]);
    assert_eq!(client.send(Method::DELETE, fake.blob("e"), &[], b"").unwrap().code, "LeaseIdMissing");
    fake.delete("e");
    assert_eq!(fake.names(), ["d", "d/plain"]);
    fake.add_foreign_block("f", b"id");
    assert_eq!(fake.uncommitted("f"), [(b"id".to_vec(), 7)]);
}

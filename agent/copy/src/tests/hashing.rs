//! Later stages drain: they never look at the token.

use std::convert::Infallible;
use std::sync::Arc;

use blob::memory::MemoryBlob;
use blob::{Blob, UploadRequest};
use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use protocol::digest::Sha256Digest;
use protocol::manifest::ChunkContent;
use protocol::units::{ByteRange, ChunkIndex};
use tokio::sync::mpsc;

use crate::chunk::{Body, Place, ReadChunk};
use crate::error::CopyError;
use crate::hashing::ZeroDigests;
use crate::hashing::hash_pool::HashPool;
use crate::stage::hash::HashStage;

fn chunk(index: u64, body: Body, recorded: Option<ChunkContent>) -> ReadChunk {
    let place = Place { index: ChunkIndex(index), range: ByteRange::new(index * 512, 512) };
    ReadChunk { place, body, recorded, unreadable: Vec::new() }
}

async fn stage(input: Receiver<ReadChunk>, abandoned: Receiver<Infallible>) -> HashStage {
    let request = UploadRequest {
        transfer_id: "t".into(),
        total_bytes: 2048,
        chunk_bytes: 512,
        overwrite: false,
        resume: false,
        replaces: None,
    };
    let (upload, _) = MemoryBlob::new("b").begin_upload(&request).await.unwrap();
    let hash_pool = HashPool::new(input, abandoned, false, Arc::default(), None);
    HashStage { upload, zeros: ZeroDigests::new(512), hash_pool, stream: None }
}

#[tokio::test]
async fn what_was_read_is_hashed_even_when_a_reader_was_given_up_on() {
    let (input, received) = bounded(8);
    let (abandon, abandoned) = bounded(0);
    let stage = stage(received, abandoned).await;
    let (output, mut hashed) = mpsc::channel(8);
    for (index, body) in
        [Body::Bytes(Bytes::from(vec![7; 512]).into()), Body::Hole, Body::Bytes(Bytes::from(vec![0; 512]).into())]
            .into_iter()
            .enumerate()
    {
        input.send(chunk(index as u64, body, None)).unwrap();
    }
    // The reader hangs and keeps its end of the channel.
    drop(abandon);
    std::thread::spawn(move || stage.run(&output).unwrap()).join().unwrap();
    // Zeros overtake what is hashed.
    let mut chunks = Vec::new();
    while let Some(chunk) = hashed.recv().await {
        chunks.push(chunk);
    }
    chunks.sort_by_key(|chunk| chunk.place.index);
    let [first, zeros @ ..] = chunks.as_slice() else { panic!() };
    assert_eq!(first.content(), ChunkContent::Data(Sha256Digest::of(&[7; 512])));
    assert_eq!(zeros.len(), 2);
    for zero in zeros {
        assert_eq!((zero.content(), zero.digest, zero.bytes.is_none()), (ChunkContent::Zero, Sha256Digest::of(&[0; 512]), true));
    }
    drop(input);
}

#[tokio::test]
async fn a_recorded_chunk_that_changed_ends_the_transfer() {
    let (input, received) = bounded(8);
    let (_abandon, abandoned) = bounded(0);
    let stage = stage(received, abandoned).await;
    let (output, mut hashed) = mpsc::channel(8);
    let recorded = Some(ChunkContent::Data(Sha256Digest::of(&[7; 512])));
    input.send(chunk(0, Body::Bytes(Bytes::from(vec![7; 512]).into()), recorded)).unwrap();
    input.send(chunk(1, Body::Bytes(Bytes::from(vec![8; 512]).into()), recorded)).unwrap();
    drop(input);
    let result = std::thread::spawn(move || stage.run(&output)).join().unwrap();
    assert!(matches!(result, Err(CopyError::Refused(text)) if text.contains("512+512")));
    assert!(hashed.recv().await.is_none(), "what landed before is not sent again");
}

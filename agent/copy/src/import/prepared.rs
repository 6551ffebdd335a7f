//! The upload is begun or resumed, and what an earlier run left is looked at before any of it is believed.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use blob::{Blob, BlobErrorKind, BlocksHeld, Upload, UploadRequest};
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::manifest::Header;
use protocol::units::{ByteSize, ChunkIndex};

use crate::call::options::{OnUnreadable, TransferOptions};
use crate::error::CopyError;
use crate::flow::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::import::context::{Context, Trust};
use crate::import::examine::{Examined, Scene};
use crate::import::standing::Standing;
use crate::plan::memory_plan;
use crate::record::journal::Journal;
use crate::record::table::{ChunkTable, SharedTable};
use crate::rescue::{Rescue, RescueScene};
use crate::transfer::begin::count_recorded;
use crate::transfer::reuse::{Look, Resumed, look, take_back};
use crate::verify::Side;

/// An import whose target and journal are ready: its next step is the pipeline.
pub(super) struct Prepared {
    pub(super) context: Context,
    pub(super) journal: Journal,
    pub(super) target: Target,
}

/// What there is at the target.
pub(super) enum Target {
    /// An upload that was begun or resumed.
    Uploading(Uploading),
    /// The blob that an earlier run committed.
    Committed {
        /// Names its bytes.
        version: String,
        /// It was touched since: it is read again before anything is said of it.
        is_doubtful: bool,
    },
}

/// An upload under way.
pub(super) struct Uploading {
    pub(super) upload: Arc<dyn Upload>,
    /// Digests of chunks that the store holds already.
    pub(super) held: HashSet<Sha256Digest>,
    /// The store continues what an earlier run left.
    pub(super) is_resumed: bool,
    /// What was recorded is read again and compared.
    pub(super) with_recorded: bool,
}

/// What an earlier run left in the journal about its target.
struct Left {
    /// What named the state of the target when the last run stopped.
    target: Option<String>,
    /// The chunks that were recorded last.
    latest: VecDeque<ChunkIndex>,
}

impl Prepared {
    /// Begins an import that nothing forbids, or takes up what an earlier run left.
    pub(super) async fn begin(examined: Examined) -> Result<Self, CopyError> {
        crash::point("examined");
        let Examined { scene, recovered, standing, planned, trust, warnings } = examined;
        warnings.into_iter().for_each(|warning| scene.handle.warn(warning));
        let left = Left {
            target: recovered.as_ref().and_then(|recovered| recovered.left.clone()),
            latest: recovered.as_ref().map(|recovered| recovered.latest.clone()).unwrap_or_default(),
        };
        let is_touched = scene.is_touched(recovered.as_ref()) && standing == Standing::Resumed;
        if is_touched {
            scene.handle.inform("the image was written to since: what had landed is read again and compared".to_owned());
        }
        let (header, table) = scene.header_and_table(recovered, planned)?;
        let (mut context, mut journal) = context(scene, header, table, &standing)?;
        context.trust = trust;
        let target = match standing {
            Standing::Committed { version, is_doubtful } => Target::Committed { version, is_doubtful },
            _ => {
                note_sampled_source(&mut context, &mut journal)?;
                let with_recorded = is_touched || reads_again_to_hash(&context.options, &*context.blob);
                let is_resumed = standing == Standing::Resumed;
                Target::Uploading(begin_upload(&mut context, &mut journal, is_resumed, left, with_recorded).await?)
            }
        };
        context.table.with(|table| count_recorded(table, &context.handle))?;
        begin_rescue(&context)?;
        Ok(Prepared { context, journal, target })
    }
}

fn context(scene: Scene, header: Header, table: SharedTable, standing: &Standing) -> Result<(Context, Journal), CopyError> {
    let Scene { drive, blob, options, handle, attempts, identity, hanging, journal, .. } = scene;
    let geometry = table.with(|table| Ok(table.geometry()))?;
    let journal_path = journal.path().to_owned();
    let rescue = Rescue::open(RescueScene {
        policy: options.on_unreadable,
        options: options.rescue.clone(),
        fill: header.unreadable_fill,
        geometry,
        drive: &*drive,
        identity: &identity,
        blob_address: &blob.address(),
        transfer_id: &header.transfer_id,
        journal: &journal_path,
        is_new: *standing == Standing::Fresh,
    })?;
    rescue.iter().for_each(|rescue| rescue.expect_hangs(&hanging));
    handle.counters.set_total(geometry.total_bytes());
    let context = Context {
        failure: Failure::new(handle.stop.clone()),
        zeros: ZeroDigests::new(geometry.chunk_size_bytes()),
        memory: memory_plan(options.memory, geometry)?,
        table,
        rescue,
        journal_path,
        trust: Trust::default(),
        drive,
        blob,
        options,
        handle,
        attempts,
        identity,
        header,
    };
    Ok((context, journal))
}

/// Every later run has to know it too.
fn note_sampled_source(context: &mut Context, journal: &mut Journal) -> Result<(), CopyError> {
    if !context.trust.source_is_sampled || context.header.source_is_sampled {
        return Ok(());
    }
    context.header.source_is_sampled = true;
    journal.rewrite(&context.header, &context.table)
}

/// From here on the user's map says what is in this blob, and nothing else.
fn begin_rescue(context: &Context) -> Result<(), CopyError> {
    let Some(rescue) = &context.rescue else { return Ok(()) };
    let in_vain = rescue.bytes_claimed_in_vain(&context.table)?;
    if in_vain > 0 {
        context.handle.warn(format!(
            "the mapfile calls {} rescued that are not in this blob: they are read from the drive again, unless `--rescued` names their image (the map as it was: `.bak`)",
            ByteSize(in_vain)
        ));
    }
    if context.options.rescue.rescued.is_some() {
        context.handle.inform("what the mapfile calls rescued is taken from the image, and not read from the drive".to_owned());
    }
    rescue.save(&context.table)
}

/// Whether a resumed import reads what had landed again, so that the SHA-256 of the whole can be computed on the way. A blob
/// that is a file is hashed at the end; and a drive that may be failing is not read twice.
fn reads_again_to_hash(options: &TransferOptions, blob: &dyn Blob) -> bool {
    options.stream_sha256 && blob.local().is_none() && options.on_unreadable == OnUnreadable::Stop
}

/// Begins or resumes the upload, and takes back what the journal says and the store does not hold.
async fn begin_upload(
    context: &mut Context,
    journal: &mut Journal,
    is_resumed: bool,
    left: Left,
    with_recorded: bool,
) -> Result<Uploading, CopyError> {
    let (upload, held) = begin_at_store(context, journal, is_resumed).await?;
    let mut uploading = Uploading { upload, held: HashSet::new(), is_resumed: false, with_recorded };
    let landed_before = landed(context)?;
    match held {
        BlocksHeld::Recorded { state } => {
            uploading.is_resumed = true;
            look_at_recorded(context, &*uploading.upload, left, state).await?;
        }
        BlocksHeld::Nothing => context.with_not_held(|_| false, ChunkTable::clear)?,
        BlocksHeld::Blocks(blocks) if context.options.restart => drop(blocks),
        BlocksHeld::Blocks(blocks) => {
            context.with_not_held(|digest| blocks.contains_key(&digest), ChunkTable::clear)?;
            uploading.held = blocks.into_keys().collect();
        }
    }
    let lost = landed_before - landed(context)?;
    if lost > 0 {
        context.handle.warn(format!("the store does not hold {lost} of the chunks that had landed: they are sent again"));
    }
    let had_unreadable = with_recorded && context.table.with(|table| Ok(table.unreadable().next().is_some()))?;
    if had_unreadable {
        // What could not be read then may have healed: it is moved again, not compared.
        context.table.with(ChunkTable::clear_unreadable)?;
    }
    if lost > 0 || had_unreadable {
        // What is about to be written over must not be believed after a crash.
        journal.rewrite(&context.header, &context.table)?;
    }
    Ok(uploading)
}

fn landed(context: &Context) -> Result<u64, CopyError> {
    context.table.with(|table| Ok(table.landed()))
}

async fn begin_at_store(
    context: &Context,
    journal: &mut Journal,
    is_resumed: bool,
) -> Result<(Arc<dyn Upload>, BlocksHeld), CopyError> {
    let request = UploadRequest {
        transfer_id: context.header.transfer_id.clone(),
        total_bytes: context.header.total_bytes,
        overwrite: context.options.overwrite,
        resume: is_resumed,
        replaces: context.header.replaces.clone(),
    };
    if !is_resumed {
        // Before the store is touched: an older journal must not speak of a new upload.
        journal.begin(&context.header)?;
    }
    match begin_once(context, &request).await {
        Err(CopyError::Store(error)) if is_resumed && error.kind == BlobErrorKind::NotFound => {
            begin_once(context, &UploadRequest { resume: false, ..request }).await
        }
        other => other,
    }
}

async fn begin_once(context: &Context, request: &UploadRequest) -> Result<(Arc<dyn Upload>, BlocksHeld), CopyError> {
    let begun = context.attempts.for_first_contact().run("begin", 0, || context.blob.begin_upload(request)).await;
    Ok(begun.map_err(CopyError::from)?.0)
}

/// Looks at what an earlier run left, as closely as it takes to believe it. `state` names what the target is now.
async fn look_at_recorded(
    context: &mut Context,
    upload: &dyn Upload,
    left: Left,
    state: Option<String>,
) -> Result<(), CopyError> {
    let Some(view) = upload.uncommitted() else { return Ok(()) };
    if landed(context)? == 0 {
        return Ok(());
    }
    let look = look(left.target.as_ref(), state.as_ref(), view.local().is_some());
    if look == Look::NotNeeded {
        return Ok(());
    }
    let facts = context.attempts.run("look at", 0, || view.head()).await?.0;
    let version = facts.map(|facts| facts.version).unwrap_or_default();
    let resumed = Resumed {
        side: Side::Blob { blob: view, version },
        table: &context.table,
        fill: context.header.unreadable_fill,
        latest: &left.latest,
        options: &context.options,
        attempts: &context.attempts,
        handle: &context.handle,
        memory: context.memory,
    };
    let lost = resumed.lost(look).await?;
    context.trust.target_is_sampled = look == Look::Sampled && lost.is_empty();
    take_back(&context.table, &lost)?;
    context.handle.counters.set_total(context.header.total_bytes);
    Ok(())
}

//! The upload is begun or resumed, and what an earlier run left is looked at before any of it is believed.

use std::collections::HashSet;
use std::sync::Arc;

use blob::{Blob, BlobErrorKind, BlocksHeld, Upload, UploadRequest};
use file::crash;
use protocol::digest::Sha256Digest;
use protocol::units::ByteSize;

use crate::call::options::{OnUnreadable, TransferOptions};
use crate::error::CopyError;
use crate::import::examine::Examined;
use crate::import::standing::Standing;
use crate::import::trust::Trust;
use crate::record::journal::Journal;
use crate::record::table::ChunkTable;
use crate::rescue::{Rescue, RescueScene};
use crate::transfer::context::Context;
use crate::transfer::reuse::{Left, Look, take_back};
use crate::transfer::staging::discard_elsewhere;
use crate::verify::Side;

/// An import whose target and journal are ready: its next step is the pipeline.
pub(super) struct Prepared {
    pub(super) context: Context,
    /// What is done about places that cannot be read.
    pub(super) rescue: Option<Arc<Rescue>>,
    pub(super) trust: Trust,
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
    /// What an earlier run left was looked at in some places only.
    is_sampled: bool,
}

impl Prepared {
    /// Begins an import that nothing forbids, or takes up what an earlier run left.
    pub(super) async fn begin(examined: Examined) -> Result<Self, CopyError> {
        crash::point("examined");
        let Examined { scene, hanging, recovered, standing, planned, mut trust, warnings } = examined;
        warnings.into_iter().for_each(|warning| scene.handle.warn(warning));
        let left = Left::of(recovered.as_ref());
        let is_touched = scene.is_touched(recovered.as_ref()) && standing == Standing::Resumed;
        if is_touched {
            scene.handle.inform("the image was written to since: what had landed is read again and compared".to_owned());
        }
        if let Some(replaced) = &scene.replaces {
            discard_elsewhere(&*scene.blob, replaced, &scene.attempts).await?;
        }
        let (header, table) = scene.header_and_table(recovered, planned)?;
        let (mut context, mut journal) = Context::new(scene, header, table)?;
        let rescue = open_rescue(&context, standing == Standing::Fresh)?;
        rescue.iter().for_each(|rescue| rescue.expect_hangs(&hanging));
        context.handle.counters.set_total(context.header.total_bytes);
        let target = match standing {
            Standing::Committed { version, is_doubtful } => Target::Committed { version, is_doubtful },
            _ => {
                note_sampled_source(&mut context, trust, &mut journal)?;
                let with_recorded = is_touched || reads_again_to_hash(&context.options, &*context.blob);
                let is_resumed = standing == Standing::Resumed;
                let uploading = begin_upload(&context, &mut journal, is_resumed, &left, with_recorded).await?;
                trust.target_is_sampled = uploading.is_sampled;
                Target::Uploading(uploading)
            }
        };
        context.count_recorded()?;
        begin_rescue(&context, rescue.as_deref())?;
        Ok(Prepared { context, rescue, trust, journal, target })
    }
}

fn open_rescue(context: &Context, is_new: bool) -> Result<Option<Arc<Rescue>>, CopyError> {
    Rescue::open(RescueScene {
        policy: context.options.on_unreadable,
        options: context.options.rescue.clone(),
        fill: context.header.unreadable_fill,
        geometry: context.geometry()?,
        drive: &*context.drive,
        identity: &context.identity,
        blob_address: &context.blob.address(),
        transfer_id: &context.header.transfer_id,
        journal: &context.journal_path,
        is_new,
    })
}

/// Every later run has to know it too.
fn note_sampled_source(context: &mut Context, trust: Trust, journal: &mut Journal) -> Result<(), CopyError> {
    if !trust.source_is_sampled || context.header.source_is_sampled {
        return Ok(());
    }
    context.header.source_is_sampled = true;
    journal.rewrite(&context.header, &context.table)
}

/// From here on the user's map says what is in this blob, and nothing else.
fn begin_rescue(context: &Context, rescue: Option<&Rescue>) -> Result<(), CopyError> {
    let Some(rescue) = rescue else { return Ok(()) };
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
    context: &Context,
    journal: &mut Journal,
    is_resumed: bool,
    left: &Left,
    with_recorded: bool,
) -> Result<Uploading, CopyError> {
    let (upload, held) = begin_at_store(context, journal, is_resumed).await?;
    let mut uploading = Uploading { upload, held: HashSet::new(), is_resumed: false, with_recorded, is_sampled: false };
    let landed_before = context.landed()?;
    match held {
        BlocksHeld::Recorded { state } => {
            uploading.is_resumed = true;
            let lost = context.attempts.run("look at", 0, || uploading.upload.lost(&context.table)).await?.0;
            take_back(&context.table, &lost)?;
            uploading.is_sampled = look_at_recorded(context, &*uploading.upload, left, state).await?;
        }
        BlocksHeld::Nothing => context.with_not_held(|_| false, ChunkTable::clear)?,
        BlocksHeld::Blocks(blocks) if context.options.restart => drop(blocks),
        BlocksHeld::Blocks(blocks) => {
            context.with_not_held(|digest| blocks.contains_key(&digest), ChunkTable::clear)?;
            uploading.held = blocks.into_keys().collect();
        }
    }
    let lost = landed_before - context.landed()?;
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

async fn begin_at_store(
    context: &Context,
    journal: &mut Journal,
    is_resumed: bool,
) -> Result<(Arc<dyn Upload>, BlocksHeld), CopyError> {
    let request = UploadRequest {
        transfer_id: context.header.transfer_id.clone(),
        total_bytes: context.header.total_bytes,
        chunk_bytes: context.header.chunk_size_bytes,
        overwrite: context.options.overwrite,
        resume: is_resumed,
        replaces: context.header.replaces.clone(),
    };
    if !is_resumed {
        // Before the store is touched: an older journal must not speak of a new upload.
        journal.begin(&context.header)?;
    }
    context.handle.journal_published().await;
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

/// Looks at what an earlier run left, as closely as it takes to believe it. Tells whether that was in some places only.
/// `state` names what the target is now.
async fn look_at_recorded(context: &Context, upload: &dyn Upload, left: &Left, state: Option<String>) -> Result<bool, CopyError> {
    let Some(view) = upload.uncommitted() else { return Ok(false) };
    if context.landed()? == 0 {
        return Ok(false);
    }
    let look = left.look(state.as_ref(), view.local().is_some());
    if look == Look::NotNeeded {
        return Ok(false);
    }
    let facts = context.attempts.run("look at", 0, || view.head()).await?.0;
    let lost = left.lost(context, Side::blob(view, facts), look).await?;
    take_back(&context.table, &lost)?;
    context.handle.counters.set_total(context.header.total_bytes);
    Ok(look == Look::Sampled && lost.is_empty())
}

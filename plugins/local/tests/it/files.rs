//! Small audio files, made on the spot.

use std::{fs, path::Path};

use lofty::{
    config::WriteOptions,
    file::FileType,
    picture::{MimeType, Picture, PictureType},
    tag::{ItemKey, ItemValue, Tag, TagExt as _, TagItem},
};

/// Tags of a file.
pub(crate) type Tags<'a> = &'a [(ItemKey, &'a str)];

/// A JPEG as far as its first bytes go.
pub(crate) const JPEG: &[u8] = b"\xff\xd8\xff\xe0 the rest of a picture";

/// Writes a file in the format that its extension says, with audio that depends on `seed`.
pub(crate) fn write(path: &Path, seed: u8, tags: Tags<'_>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let extension = path.extension().unwrap().to_str().unwrap();
    let (bytes, format) = match extension {
        "wav" => (wav(seed), FileType::Wav),
        "mp3" => (mp3(seed), FileType::Mpeg),
        "flac" => (flac(seed), FileType::Flac),
        "opus" => (opus(seed), FileType::Opus),
        other => panic!("no {other} files are made here"),
    };
    fs::write(path, bytes).unwrap();
    tag(path, format, tags);
}

fn tag(path: &Path, format: FileType, tags: Tags<'_>) {
    if tags.is_empty() {
        return;
    }
    let mut tag = Tag::new(format.primary_tag_type());
    for (key, value) in tags {
        tag.push_unchecked(TagItem::new(*key, ItemValue::Text((*value).to_owned())));
    }
    tag.save_to_path(path, WriteOptions::default()).unwrap();
}

/// Writes an MP3 file with a picture in its tag.
pub(crate) fn write_with_picture(path: &Path, seed: u8, picture: &[u8]) {
    write(path, seed, &[]);
    let mut tag = Tag::new(FileType::Mpeg.primary_tag_type());
    tag.insert_text(ItemKey::TrackTitle, "With a picture".into());
    tag.insert_text(ItemKey::AlbumTitle, "Pictures".into());
    let cover = Picture::unchecked(picture.to_vec()).pic_type(PictureType::CoverFront).mime_type(MimeType::Jpeg);
    tag.push_picture(Picture::unchecked(b"GIF8 small".to_vec()).pic_type(PictureType::Icon).build());
    tag.push_picture(cover.build());
    tag.save_to_path(path, WriteOptions::default()).unwrap();
}

fn noise(seed: u8, length: usize) -> impl Iterator<Item = u8> {
    let mut state = u32::from(seed) + 1;
    (0..length).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
}

/// A tenth of a second, 16 bits, mono, 8 kHz.
fn wav(seed: u8) -> Vec<u8> {
    let data: Vec<u8> = noise(seed, 1600).collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(8000_u32.to_le_bytes());
    bytes.extend(16000_u32.to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// Forty frames, MPEG 1 layer III, 128 kbit/s, 44.1 kHz, stereo.
fn mp3(seed: u8) -> Vec<u8> {
    let frame =
        |n: u8| [&[0xff, 0xfb, 0x90, 0x00][..], &noise(seed ^ n, 413).map(|b| b & 0x7f).collect::<Vec<_>>()].concat();
    (0..40).flat_map(frame).collect()
}

/// One second at 44.1 kHz, 16 bits, stereo, as far as the header goes.
fn flac(seed: u8) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    // 20 bits sample rate, 3 bits channels - 1, 5 bits bits per sample - 1, 36 bits samples.
    let packed: u64 = (44_100 << 44) | (1 << 41) | (15 << 36) | 44_100;
    bytes.extend(packed.to_be_bytes());
    bytes.extend([0; 16]);
    bytes.extend([0xff, 0xf8]);
    bytes.extend(noise(seed, 4000));
    bytes
}

/// One second in three Ogg pages.
fn opus(seed: u8) -> Vec<u8> {
    let head = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\x04\0\0\0test\0\0\0\0";
    let audio: Vec<u8> = noise(seed, 200).collect();
    [ogg_page(2, 0, 0, head), ogg_page(0, 0, 1, tags), ogg_page(4, 48_000, 2, &audio)].concat()
}

fn ogg_page(flags: u8, granule: u64, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(7_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.extend([1, packet.len() as u8]);
    page.extend(packet);
    let crc = page.iter().fold(0_u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            if crc & 0x8000_0000 != 0 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Replaces a file's bytes so that nobody notices who only looks at its metadata.
pub(crate) fn scramble(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![b'x'; metadata.len() as usize], 0).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

//! A look at ID3v2 tags before they are parsed.

use std::io::{self, Read, Seek, SeekFrom};

/// How many compressed bytes a tag may have: they can become a thousand times as many, without a limit in the parser.
const MAX_COMPRESSED: u64 = 64 << 10;

/// Whether the tag at the start of a file has more compressed data than is safe to unpack.
pub(crate) fn is_bomb(reader: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut header = [0; 10];
    if reader.read_exact(&mut header).is_err() || !header.starts_with(b"ID3") {
        return Ok(false);
    }
    let version = header[3];
    let end = 10 + u64::from(synchsafe(&header[6..]));
    let mut position = 10;
    if header[5] & 0x40 != 0 {
        position += extended_header(reader, version)?;
    }
    let mut compressed = 0;
    while version >= 3 && position + 10 <= end {
        let mut frame = [0; 10];
        reader.seek(SeekFrom::Start(position))?;
        if reader.read_exact(&mut frame).is_err() || frame[0] == 0 {
            break;
        }
        let (size, flag) = match version {
            3 => (u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]), 0x80),
            _ => (synchsafe(&frame[4..]), 0x08),
        };
        if frame[9] & flag != 0 {
            compressed += u64::from(size);
        }
        position += 10 + u64::from(size);
    }
    Ok(compressed > MAX_COMPRESSED)
}

fn synchsafe(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |size, byte| size << 7 | u32::from(byte & 0x7f))
}

/// The length of an extended header, which version 3 counts without the length itself.
fn extended_header(reader: &mut impl Read, version: u8) -> io::Result<u64> {
    let mut size = [0; 4];
    reader.read_exact(&mut size)?;
    Ok(if version == 3 { 4 + u64::from(u32::from_be_bytes(size)) } else { u64::from(synchsafe(&size)) })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn tag(version: u8, flags: u8, size: u32) -> Vec<u8> {
        let sevens = |n: u32| [(n >> 21) as u8 & 0x7f, (n >> 14) as u8 & 0x7f, (n >> 7) as u8 & 0x7f, n as u8 & 0x7f];
        let frame_size = if version == 3 { size.to_be_bytes() } else { sevens(size) };
        let first = [&b"TIT2\0\0\0\x01\0\0\0"[..]].concat();
        let second = [&b"TXXX"[..], &frame_size, &[0, flags], &vec![1; size as usize]].concat();
        let frames = [first, second].concat();
        [&b"ID3"[..], &[version, 0, 0], &sevens(frames.len() as u32), &frames].concat()
    }

    #[test]
    fn counts_what_is_compressed() {
        for (version, flags, size, expected) in [
            (3, 0x80, 100_000, true),
            (4, 0x08, 100_000, true),
            (3, 0x80, 1000, false),
            (3, 0x08, 100_000, false),
            (4, 0x80, 100_000, false),
            (2, 0xff, 100_000, false),
        ] {
            let is = is_bomb(&mut Cursor::new(tag(version, flags, size))).unwrap();
            assert_eq!(is, expected, "version {version}, flags {flags}, size {size}");
        }
        assert!(!is_bomb(&mut Cursor::new(b"fLaC")).unwrap());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(rest: Vec<u8>, version in 0_u8..6, flags: u8) {
            let bytes = [&b"ID3"[..], &[version, 0, flags], &rest].concat();
            let _ = is_bomb(&mut Cursor::new(bytes));
        }
    }
}

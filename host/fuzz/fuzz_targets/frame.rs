//! Frames between host and worker: both readers agree, a length is refused before anything is allocated, and what is
//! read is written the same.
#![no_main]

mod support;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use libfuzzer_sys::fuzz_target;
use zotify_host::worker::frame::{self, Frame, MAX_FRAME};

/// For errors and names.
const SLACK: usize = 8 << 10;

fuzz_target!(|data: &[u8]| {
    let (mut blocking, mut polled) = (data, data);
    loop {
        let announced = blocking.first_chunk().map_or(0, |head| u32::from_be_bytes(*head) as usize);
        let limit = if announced > MAX_FRAME { SLACK } else { SLACK + 2 * announced };
        let one = support::within(limit, || frame::read_blocking(&mut blocking));
        let other = support::within(limit, || now(frame::read(&mut polled)));
        match (one, other) {
            (Ok(None), Ok(None)) => break,
            (Ok(Some(one)), Ok(Some(other))) => {
                assert_eq!(one, other);
                check(&one);
            }
            (Err(one), Err(other)) => {
                assert_eq!(one.kind(), other.kind());
                break;
            }
            differing => panic!("{differing:?}"),
        }
    }
});

fn check(frame: &Frame) {
    let bytes = frame.encode().expect("what came in a frame fits into one");
    let mut from = bytes.as_slice();
    assert_eq!(frame::read_blocking(&mut from).unwrap().as_ref(), Some(frame));
    assert!(from.is_empty());
}

/// The result of reading from memory, which never waits.
fn now<T>(reading: impl Future<Output = T>) -> T {
    match pin!(reading).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory is always ready"),
    }
}

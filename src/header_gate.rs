//! Header blocks of HTTP/2, looked at before they are decoded.
//!
//! A byte of HPACK (RFC 7541) may stand for a whole field, and actix-http takes time for a name that
//! is repeated which grows with the square of how often. So the fields of a block are counted here,
//! as they come in, and a connection that sends too many is at its end.

/// The most fields of a request, as over HTTP/1.1.
const MAX_FIELDS: u32 = 96;
/// The most bytes of a header block.
const MAX_BLOCK: u32 = 64 * 1024;

/// What a client sends before the first frame (RFC 9113, 3.4).
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Follows what a client sends.
#[derive(Debug)]
pub(crate) struct HeaderGate {
    /// Bytes that are of no interest.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// How much of the next frame's head is there.
    have: usize,
    frame: Frame,
    block: Block,
}

/// What is left of a frame that has a part of a header block.
#[derive(Debug, Default)]
struct Frame {
    left: usize,
    is_padded: bool,
    padding: usize,
    ends_block: bool,
}

/// A header block so far.
#[derive(Debug, Default)]
struct Block {
    bytes: u32,
    fields: u32,
    place: Place,
}

/// What comes next in a block (RFC 7541, 5 and 6).
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Field,
    /// The rest of a field's index, and then so many texts.
    Index { texts: u8 },
    /// The length of the first of so many texts.
    Length { texts: u8 },
    /// The rest of such a length.
    Longer { texts: u8, length: u64, shift: u32 },
    /// The rest of the first of so many texts.
    Text { texts: u8, left: u64 },
}

impl HeaderGate {
    pub(crate) fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEAD],
            have: 0,
            frame: Frame::default(),
            block: Block::default(),
        }
    }

    /// Looks at what has come in. `false` if it is too much.
    pub(crate) fn lets_in(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
            } else if self.frame.left > 0 {
                let taken = (self.frame.left - self.frame.padding).min(bytes.len());
                if self.frame.is_padded {
                    self.frame.is_padded = false;
                    self.frame.left -= 1;
                    self.frame.padding = usize::from(bytes[0]).min(self.frame.left);
                    bytes = &bytes[1..];
                } else if !self.block.take(&bytes[..taken]) {
                    return false;
                } else {
                    self.frame.left -= taken;
                    bytes = &bytes[taken..];
                }
                self.end_frame();
            } else {
                self.head[self.have] = bytes[0];
                self.have += 1;
                bytes = &bytes[1..];
                if self.have == FRAME_HEAD {
                    self.have = 0;
                    self.begin_frame();
                }
            }
        }
        true
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let has = |flag: u8| flags & flag != 0;
        // Where a frame is shorter than it says, h2 ends the connection.
        let priority = if kind == HEADERS && has(PRIORITY) { 5 } else { 0 };
        match kind {
            HEADERS | CONTINUATION => {
                let is_padded = kind == HEADERS && has(PADDED);
                self.frame =
                    Frame { left: length, is_padded, padding: 0, ends_block: has(END_HEADERS) };
                // The priority stands behind the padding's length; where it is taken for a part of the
                // block instead, it must not count.
                self.block.place = match (kind, priority) {
                    (HEADERS, 0) => Place::Field,
                    (HEADERS, left) => Place::Text { texts: 1, left },
                    _ => self.block.place,
                };
                self.end_frame();
            }
            _ => self.skip = length,
        }
    }

    /// If a frame has nothing more of a block in it, goes on behind it.
    fn end_frame(&mut self) {
        let Frame { left, is_padded, padding, ends_block } = self.frame;
        if left == padding && !is_padded {
            (self.skip, self.frame.left) = (padding, 0);
            if ends_block {
                self.block = Block::default();
            }
        }
    }
}

impl Block {
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((byte, more)) = rest.split_first() {
            rest = more;
            self.place = match self.place {
                Place::Field => {
                    // A new size of the table is no field, but costs as much to look at.
                    self.fields += 1;
                    field(*byte)
                }
                Place::Index { .. } if byte & 0x80 != 0 => self.place,
                Place::Index { texts } => following(texts),
                Place::Length { texts } => match byte & 0x7f {
                    0x7f => Place::Longer { texts, length: 0x7f, shift: 0 },
                    length => text(texts, length.into()),
                },
                Place::Longer { texts, length, shift } => {
                    let more = u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(u64::MAX);
                    let length = length.saturating_add(more);
                    match byte & 0x80 {
                        0 => text(texts, length),
                        _ => Place::Longer { texts, length, shift: shift + 7 },
                    }
                }
                Place::Text { texts, left } => {
                    // The rest of it at once.
                    let skipped = usize::try_from(left - 1).unwrap_or(usize::MAX).min(rest.len());
                    rest = &rest[skipped..];
                    text(texts, left - 1 - skipped as u64)
                }
            };
        }
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.fields <= MAX_FIELDS && self.bytes <= MAX_BLOCK
    }
}

/// What follows a field's first byte.
fn field(byte: u8) -> Place {
    let (prefix, texts) = match byte {
        0x80.. => (0x7f, 0),
        0x40.. => (0x3f, 1),
        0x20.. => (0x1f, 0),
        _ => (0x0f, 1),
    };
    match byte & prefix {
        // Without an index it has a name of its own.
        0 => following(2 * texts),
        index if index == prefix => Place::Index { texts },
        _ => following(texts),
    }
}

fn following(texts: u8) -> Place {
    if texts == 0 { Place::Field } else { Place::Length { texts } }
}

/// Where the first of so many texts has so much left.
fn text(texts: u8, left: u64) -> Place {
    if left == 0 { following(texts - 1) } else { Place::Text { texts, left } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Whether all of this gets in, in pieces of so many bytes.
    fn gets_in(frames: &[Vec<u8>], piece: usize) -> bool {
        let mut gate = HeaderGate::new();
        let sent = [vec![b'P'; PREFACE], frames.concat()].concat();
        sent.chunks(piece).all(|piece| gate.lets_in(piece))
    }

    const ALL: u8 = END_HEADERS;

    #[test]
    fn a_request_has_so_many_fields_and_no_more() {
        for field in [
            &[0x82][..],
            &[0x41, 3, b'a', b'b', b'c'],
            &[0x40, 1, b'x', 0x81, b'y'],
            &[0x00, 0, 0],
            &[0x1f, 0x80, 0x01, 2, b'a', b'b'],
            &[0x3f, 0x80, 0x80, 0x01],
            &[0xff, 0x80, 0x01],
        ] {
            let block = |count: usize| field.repeat(count);
            for piece in [1, 7, 1_000] {
                let most = MAX_FIELDS as usize;
                let twice = [frame(HEADERS, ALL, &block(most)), frame(HEADERS, ALL, &block(most))];
                assert!(gets_in(&twice, piece), "{field:?}");
                assert!(!gets_in(&[frame(HEADERS, ALL, &block(most + 1))], piece), "{field:?}");
                let parted = [
                    frame(HEADERS, 0, &block(most)),
                    frame(CONTINUATION, 0, &[]),
                    frame(CONTINUATION, ALL, &block(1)),
                ];
                assert!(!gets_in(&parted, piece), "{field:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_block_does_not_count() {
        let many = [0x82; 1_000];
        let most = [0x82; MAX_FIELDS as usize];
        let padded = [&[200][..], &most, &[0x82; 200]].concat();
        let with_priority = [&[0x82; 5][..], &most].concat();
        let both = [&[3][..], &[0x82; 5], &most, &[0x82; 3]].concat();
        let frames = [
            frame(0, 0, &many),
            frame(HEADERS, ALL | PADDED, &padded),
            frame(HEADERS, ALL | PRIORITY, &with_priority),
            frame(HEADERS, ALL | PADDED | PRIORITY, &both),
            frame(4, 0, &many),
            frame(HEADERS, ALL, &[0x7f, 0x80, 0x01, 0x7f, 0x80, 0x07, b'a']),
        ];
        for piece in [1, 3, 4_096] {
            assert!(gets_in(&frames, piece));
        }
        let one_more = [&with_priority[..], &[0x82]].concat();
        assert!(!gets_in(&[frame(HEADERS, ALL | PRIORITY, &one_more)], 4_096));
    }

    #[test]
    fn a_block_has_so_many_bytes_and_no_more() {
        let text = |length: usize| {
            let mut block = vec![0x00, 0x7f];
            let mut rest = length - 0x7f;
            while rest >= 0x80 {
                block.push(0x80 | u8::try_from(rest % 0x80).unwrap());
                rest /= 0x80;
            }
            block.push(u8::try_from(rest).unwrap());
            block.extend(vec![0x82; length]);
            block.push(0);
            block
        };
        assert!(gets_in(&[frame(HEADERS, ALL, &text(60_000))], 999));
        assert!(!gets_in(&[frame(HEADERS, ALL, &text(70_000))], 999));
    }

    proptest! {
        #[test]
        fn garbage_makes_no_trouble(
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
            piece in 1usize..100,
        ) {
            let mut gate = HeaderGate::new();
            for piece in bytes.chunks(piece) {
                gate.lets_in(piece);
            }
        }
    }
}

//! Bodies of answers, the broken ones included.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes in the text of a huge answer.
const HUGE_BYTES: usize = 80 * 1024 * 1024;
/// Bytes handed over at once.
const CHUNK: &[u8] = &[b'a'; 64 * 1024];

/// The sender stops in the middle, and the connection with it.
#[derive(Debug, thiserror::Error)]
#[error("cut off on purpose")]
pub struct CutOff;

impl From<Infallible> for CutOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// The first half, announced as the whole.
    Half {
        /// What is sent.
        first: Option<Bytes>,
        /// What is announced.
        length: u64,
    },
    /// A text that looks like an answer and is longer than anybody wants.
    Huge {
        /// Bytes still to come.
        left: usize,
        /// What comes next.
        part: HugePart,
    },
}

/// The parts of a huge answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePart {
    /// Before the text.
    Head,
    /// The text.
    Text,
    /// After the text.
    Tail,
    /// Nothing more.
    End,
}

impl AnswerBody {
    /// A whole body.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        AnswerBody::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// The first half of these bytes, announced as all of them.
    #[must_use]
    pub fn half(bytes: &Bytes) -> Self {
        AnswerBody::Half {
            first: Some(bytes.slice(..bytes.len() / 2)),
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// More than 64 MiB, of no announced length.
    #[must_use]
    pub fn huge() -> Self {
        AnswerBody::Huge {
            left: HUGE_BYTES,
            part: HugePart::Head,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let next = match &mut *self {
            AnswerBody::Whole(bytes) => bytes.take().map(Ok),
            AnswerBody::Half { first, .. } => Some(first.take().ok_or(CutOff)),
            AnswerBody::Huge { left, part } => match *part {
                HugePart::Head => {
                    *part = HugePart::Text;
                    Some(Ok(Bytes::from_static(b"{\"result\":\"")))
                }
                HugePart::Text => {
                    *left = left.saturating_sub(CHUNK.len());
                    if *left == 0 {
                        *part = HugePart::Tail;
                    }
                    Some(Ok(Bytes::from_static(CHUNK)))
                }
                HugePart::Tail => {
                    *part = HugePart::End;
                    Some(Ok(Bytes::from_static(b"\",\"error\":null,\"id\":null}\n")))
                }
                HugePart::End => None,
            },
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(
            self,
            AnswerBody::Whole(None)
                | AnswerBody::Huge {
                    part: HugePart::End,
                    ..
                }
        )
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(bytes) => SizeHint::with_exact(
                bytes
                    .as_ref()
                    .map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            AnswerBody::Half { length, .. } => SizeHint::with_exact(*length),
            AnswerBody::Huge { .. } => SizeHint::default(),
        }
    }
}

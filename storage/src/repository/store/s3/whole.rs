//! Whether the answer to a listing is there to its end.
//!
//! The SDK's reader of XML takes the end of the bytes for the end of everything that was begun: half a listing reads as a
//! shorter one. What tells them apart is the end tag of the first element, without which no document is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Looks at the answer of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct LookForEnd(Arc<AtomicBool>);

impl LookForEnd {
    /// Whether the last answer was there to its end.
    pub(super) fn found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for LookForEnd {
    fn name(&self) -> &'static str {
        "LookForEnd"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(context.response().body().bytes().is_some_and(is_whole), Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a document ends with the end tag of its first element.
fn is_whole(document: &[u8]) -> bool {
    let starts = |position: &usize| {
        document[*position] == b'<' && document.get(position + 1).is_some_and(|next| !matches!(next, b'?' | b'!'))
    };
    let Some(start) = (0..document.len()).find(starts) else { return false };
    let name = document[start + 1..].split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')).next();
    let name = name.unwrap_or_default();
    let end = document.trim_ascii_end().strip_suffix(b">").map(<[u8]>::trim_ascii_end);
    let before = end.and_then(|end| end.strip_suffix(name));
    !name.is_empty() && before.is_some_and(|before| before.ends_with(b"</"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_whole_when_its_first_element_ends() {
        let whole = b"<?xml version=\"1.0\"?>\n<!-- c --><L xmlns=\"x\"><KeyCount>1</KeyCount><C><K>a</K></C></L >\n";
        assert!(is_whole(whole));
        assert!(is_whole(b"<n:L><C/></n:L>"));
        let end = whole.len() - b" >\n".len();
        for cut in 0..=end {
            assert!(!is_whole(&whole[..cut]), "{}", String::from_utf8_lossy(&whole[..cut]));
        }
        for other in [&b"<L/>"[..], b"<L></M>", b"</L>", b"no XML", b"<", b"<>"] {
            assert!(!is_whole(other), "{}", String::from_utf8_lossy(other));
        }
    }
}

//! Messages: decoded, checked, and written again.

use crate::assert_one_line;
use prost::Message;
use std::fmt::Debug;
use tricorn_wire::WireError;

/// A message of these bytes as `M` checks it; it must survive the wire as it is. `None` where the
/// bytes are refused.
pub fn received<P, M>(bytes: &[u8]) -> Option<M>
where
    P: Message + Default + From<M>,
    M: TryFrom<P, Error = WireError> + Clone + PartialEq + Debug,
{
    let message = checked::<P, M>(bytes)?;
    let again = P::from(message.clone()).encode_to_vec();
    assert_eq!(checked::<P, M>(&again).as_ref(), Some(&message));
    Some(message)
}

fn checked<P, M>(bytes: &[u8]) -> Option<M>
where
    P: Message + Default,
    M: TryFrom<P, Error = WireError>,
{
    let message = P::decode(bytes).ok()?;
    M::try_from(message).inspect_err(assert_one_line).ok()
}

/// Rows that were decoded: no larger than their bytes allow, and all finite.
pub fn assert_rows(rows: Result<Vec<f32>, WireError>, bytes: usize) {
    match rows {
        Ok(values) => {
            // The prefix code has at least eleven bits a value, or one byte for none.
            assert!(values.len() <= bytes, "{} values of {bytes} bytes", values.len());
            assert!(values.iter().all(|value| value.is_finite()));
        }
        Err(error) => assert_one_line(&error),
    }
}

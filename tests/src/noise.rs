//! Text that does not compress: for files that are to have a size.

/// Letters and digits that look random and depend on the seed alone.
pub fn noise(seed: u64, bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // SplitMix64: ten letters of each number. The seed is multiplied by something else than what the steps add, or each
    // seed would give the letters of the one before, shifted.
    let mut state = (seed + 1).wrapping_mul(0xd120_5b2d_8f3c_96e7);
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^= number >> 31;
        for letter in 0..10.min(bytes - text.len()) {
            text.push(char::from(LETTERS[(number >> (6 * letter)) as usize & 63]));
        }
    }
    text
}

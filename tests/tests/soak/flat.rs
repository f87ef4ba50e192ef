//! Lays a line through a figure and says by how much it rises from the first sample to the last.
//!
//! The slope is the median of the slopes between all pairs of samples (Theil and Sen): a few samples far off, such as those of a
//! busy machine or a day with a wrong clock, do not bend it.

/// By which part of its median, or of `median_min` when that is more, a figure rises over the samples; negative when it falls.
pub fn growth(values: &[f64], median_min: f64) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    for (from, first) in values.iter().enumerate() {
        for (to, second) in values.iter().enumerate().skip(from + 1) {
            slopes.push((second - first) / (to - from) as f64);
        }
    }
    if slopes.is_empty() {
        return 0.0;
    }
    median(&mut slopes) * (values.len() - 1) as f64 / median(&mut values.to_vec()).max(median_min)
}

/// The middle of some values; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_rises_by_what_was_added_and_noise_does_not() {
        let leak: Vec<f64> = (0..26).map(|day| 300.0 + 24.0 * f64::from(day)).collect();
        assert!((growth(&leak, 1.0) - 1.0).abs() < 0.01, "{}", growth(&leak, 1.0));
        let noise: Vec<f64> = (0..26).map(|day| 300.0 + f64::from(day * 7919 % 13)).collect();
        assert!(growth(&noise, 1.0).abs() < 0.02, "{}", growth(&noise, 1.0));
        let mut outlier = vec![300.0; 26];
        outlier[25] = 3_000.0;
        assert_eq!(growth(&outlier, 1.0), 0.0);
        assert!((growth(&[0.0, 1.0, 2.0], 20.0) - 0.1).abs() < 0.001);
        let falling: Vec<f64> = (0..10).map(|day| 100.0 - f64::from(day)).collect();
        assert!(growth(&falling, 1.0) < -0.05);
        assert_eq!((growth(&[], 1.0), growth(&[5.0], 1.0)), (0.0, 0.0));
    }
}

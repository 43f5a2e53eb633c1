//! Colours: the fixed scheme of all figures and the two continuous ramps.

/// An sRGB colour with opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colour {
    /// Red, green, blue.
    pub(crate) rgb: [u8; 3],
    /// Opacity in 0..=1.
    pub(crate) alpha: f32,
}

impl Colour {
    const fn hex(rgb: u32) -> Self {
        Self { rgb: [(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8], alpha: 1.0 }
    }

    /// The same colour, `alpha` opaque.
    pub(crate) const fn with_alpha(self, alpha: f32) -> Self {
        Self { rgb: self.rgb, alpha }
    }
}

/// Paper.
pub(crate) const PAPER: Colour = Colour::hex(0xff_ff_ff);
/// Titles and names.
pub(crate) const INK: Colour = Colour::hex(0x1f_26_30);
/// Tick labels and captions.
pub(crate) const MUTED: Colour = Colour::hex(0x5b_65_70);
/// Axis lines and tick marks.
pub(crate) const AXIS: Colour = Colour::hex(0x9a_a3_ad);
/// Grid lines.
pub(crate) const GRID: Colour = Colour::hex(0xec_ee_f1);
/// Lines and points of data.
pub(crate) const DATA: Colour = Colour::hex(0x3f_6f_9e);
/// Areas of data.
pub(crate) const DATA_FILL: Colour = Colour::hex(0xc3_d2_e1);
/// Lines and points of the model.
pub(crate) const MODEL: Colour = Colour::hex(0xe0_69_00);
/// Areas of the model.
pub(crate) const MODEL_FILL: Colour = Colour::hex(0xf3_b9_80);

/// Dark violet over teal to yellow, for a density on `t` in 0..=1.
///
/// Lightness of OKLab is linear in `t`, so that equal steps of density look equal and the map still
/// orders correctly in grey; hue and chroma pass smoothly through five points inside the gamut.
/// Reference: Ottosson, *A perceptual color space for image processing*, 2020.
pub(crate) fn density_ramp(t: f64) -> Colour {
    /// Chroma and hue in degrees at t = 0, 1/4, 1/2, 3/4, 1.
    const STOPS: [[f64; 2]; 5] =
        [[0.105, 306.0], [0.110, 272.0], [0.085, 212.0], [0.125, 158.0], [0.165, 103.0]];
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    let plane = |k: usize| {
        let [chroma, hue] = STOPS[k.min(4)];
        let hue = hue.to_radians();
        [chroma * hue.cos(), chroma * hue.sin()]
    };
    let k = ((t * 4.0) as usize).min(3);
    let u = t * 4.0 - k as f64;
    // Catmull-Rom, the ends doubled.
    let weights = [
        ((2.0 - u) * u - 1.0) * u / 2.0,
        ((3.0 * u - 5.0) * u * u + 2.0) / 2.0,
        ((4.0 - 3.0 * u) * u + 1.0) * u / 2.0,
        (u - 1.0) * u * u / 2.0,
    ];
    let points = [plane(k.saturating_sub(1)), plane(k), plane(k + 1), plane(k + 2)];
    let mix = |axis: usize| weights.iter().zip(&points).map(|(w, p)| w * p[axis]).sum::<f64>();
    let (a, b) = (mix(0), mix(1));
    Colour { rgb: oklch_to_srgb(0.26 + 0.66 * t, a.hypot(b), b.atan2(a)), alpha: 1.0 }
}

/// Pale to deep blue, for counts of data on white paper, `t` in 0..=1.
pub(crate) fn data_ramp(t: f64) -> Colour {
    let t = t.clamp(0.0, 1.0);
    let lightness = 0.955 - 0.42 * t;
    let chroma = 0.014 + 0.070 * t;
    Colour { rgb: oklch_to_srgb(lightness, chroma, 250.0_f64.to_radians()), alpha: 1.0 }
}

/// OKLCh to 8-bit sRGB; chroma is reduced until the colour is in gamut, which keeps hue and lightness.
fn oklch_to_srgb(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let linear = |c: f64| oklab_to_linear(lightness, c * hue.cos(), c * hue.sin());
    let in_gamut = |c: f64| linear(c).iter().all(|v| (-1e-6..=1.000_001).contains(v));
    let (mut inside, mut outside) = if in_gamut(chroma) { (chroma, chroma) } else { (0.0, chroma) };
    for _ in 0..12 {
        let middle = (inside + outside) / 2.0;
        *(if in_gamut(middle) { &mut inside } else { &mut outside }) = middle;
    }
    linear(inside).map(encode_srgb)
}

fn oklab_to_linear(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

fn encode_srgb(linear: f64) -> u8 {
    let c = linear.clamp(0.0, 1.0);
    let encoded = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG defines it.
    fn luminance(colour: Colour) -> f64 {
        let linear = colour.rgb.map(|c| (f64::from(c) / 255.0).powf(2.2));
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn ramps_are_monotone_in_luminance() {
        let steps: Vec<f64> = (0..=50).map(|i| f64::from(i) / 50.0).collect();
        let density: Vec<f64> = steps.iter().map(|&t| luminance(density_ramp(t))).collect();
        assert!(density.windows(2).all(|w| w[1] > w[0]), "{density:?}");
        let data: Vec<f64> = steps.iter().map(|&t| luminance(data_ramp(t))).collect();
        assert!(data.windows(2).all(|w| w[1] < w[0]), "{data:?}");
    }

    #[test]
    fn ramps_accept_any_number() {
        assert_eq!(density_ramp(f64::INFINITY), density_ramp(1.0));
        assert_eq!(density_ramp(-3.0), density_ramp(0.0));
        let _ = density_ramp(f64::NAN);
    }
}

//! QR codes of short URLs. Black on white, with the quiet zone of four modules that readers need.

use qrcode::{Color, EcLevel, QrCode, render::svg};

use crate::error::Error;

/// Modules of white around the code (ISO/IEC 18004).
const QUIET: usize = 4;
/// Pixels per module of a PNG, so that a common code is about 400 pixels wide and prints sharply.
const SCALE: usize = 12;

/// The code of a short URL, marked so that its clicks are told from those on the link.
fn code(short_url: &str) -> Result<QrCode, Error> {
    // A short URL has at most 8 + 253 + 1 + 190 bytes; a code of this level holds 2,331.
    QrCode::with_error_correction_level(format!("{short_url}?qr=1"), EcLevel::M)
        .map_err(|error| Error::Internal(anyhow::anyhow!("QR code of {short_url}: {error}")))
}

/// As SVG.
///
/// # Errors
/// Never for a short URL.
pub fn svg(short_url: &str) -> Result<String, Error> {
    Ok(code(short_url)?.render::<svg::Color<'_>>().min_dimensions(256, 256).build())
}

/// As PNG, one bit per pixel.
///
/// # Errors
/// Never for a short URL.
pub fn png(short_url: &str) -> Result<Vec<u8>, Error> {
    let code = code(short_url)?;
    let (width, modules) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * SCALE;
    let dark = |x: usize, y: usize| {
        let module = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|at| *at < width);
        matches!((module(x), module(y)), (Some(x), Some(y)) if modules[y * width + x] == Color::Dark)
    };
    // Each row begins at a byte; a set bit is white.
    let mut pixels = vec![0xFF_u8; side.div_ceil(8) * side];
    for (y, row) in pixels.chunks_exact_mut(side.div_ceil(8)).enumerate() {
        for x in (0..side).filter(|x| dark(*x, y)) {
            row[x / 8] &= !(0x80 >> (x % 8));
        }
    }
    let internal = |error: anyhow::Error| Error::Internal(error.context("PNG of a QR code"));
    let side = u32::try_from(side).map_err(|error| internal(error.into()))?;
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(|error| internal(error.into()))?;
    writer.write_image_data(&pixels).map_err(|error| internal(error.into()))?;
    writer.finish().map_err(|error| internal(error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_shows_the_code_within_its_quiet_zone() {
        let url = format!("https://{}.example/{}", "h".repeat(245), "s".repeat(190));
        let code = code(&url).unwrap();
        let file = png(&url).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let side = (code.width() + 2 * QUIET) * SCALE;
        assert_eq!((frame.width as usize, frame.height as usize), (side, side));
        let is_dark = |x: usize, y: usize| pixels[y * frame.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
        for y in 0..side {
            for x in 0..side {
                let module = |at: usize| (at / SCALE).wrapping_sub(QUIET);
                let (mx, my) = (module(x), module(y));
                let expected = mx < code.width() && my < code.width() && code[(mx, my)] == Color::Dark;
                assert_eq!(is_dark(x, y), expected, "{x} {y}");
            }
        }
    }

    /// Read by another implementation, as a phone would.
    #[test]
    fn a_code_leads_to_the_link_and_says_that_it_was_scanned() {
        let url = "https://go.acme.com/kyoto/v1.2~x";
        let expected = format!("{url}?qr=1");
        let file = png(url).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let shade = |x: usize, y: usize| {
            if pixels[y * frame.line_size + x / 8] & (0x80 >> (x % 8)) == 0 { 0 } else { 255 }
        };
        let side = frame.width as usize;
        assert_eq!(read(side, shade), expected);

        // `M x y h w v h …`: one square for each dark module.
        let drawn = svg(url).unwrap();
        let side = drawn.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let side: usize = side.parse().unwrap();
        let mut shades = vec![255_u8; side * side];
        let path = drawn.split(" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        for square in path.split('M').filter(|square| !square.is_empty()) {
            let numbers: Vec<usize> =
                square.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
            let [x, y, width, height, ..] = numbers[..] else { panic!("{square}") };
            for row in y..y + height {
                shades[row * side + x..row * side + x + width].fill(0);
            }
        }
        assert_eq!(read(side, |x, y| shades[y * side + x]), expected);
    }

    fn read(side: usize, shade: impl Fn(usize, usize) -> u8) -> String {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, shade);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }
}

//! Random bytes of the runtime, drawn for many click ids at once: one call costs about as much as the rest of an id.

use wasm_bindgen::prelude::*;

/// The bytes of one click id.
const DRAW: usize = 10;
const POOL: usize = 400 * DRAW;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill(pool: &mut [u8]);
}

/// A pool of random bytes. No byte is handed out twice.
pub(crate) struct Random {
    pool: Box<[u8; POOL]>,
    used: usize,
}

impl Default for Random {
    fn default() -> Self {
        Self { pool: Box::new([0; POOL]), used: POOL }
    }
}

impl Random {
    /// The bytes of the next click id.
    pub(crate) fn draw(&mut self) -> [u8; DRAW] {
        if self.used == POOL {
            fill(self.pool.as_mut_slice());
            self.used = 0;
        }
        let mut drawn = [0; DRAW];
        drawn.copy_from_slice(&self.pool[self.used..self.used + DRAW]);
        self.used += DRAW;
        drawn
    }

    /// A random number for any other purpose.
    pub(crate) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

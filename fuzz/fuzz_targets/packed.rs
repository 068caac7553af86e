//! A packed list does what a vector of byte strings does.
#![no_main]

use kvarts::types::packed::Packed;
use libfuzzer_sys::fuzz_target;

/// One step: what to do, where, and with which bytes.
type Step = (u8, u8, Vec<u8>);

fn contents(packed: &Packed) -> Vec<Vec<u8>> {
    packed.iter().map(|element| element.to_vec()).collect()
}

fuzz_target!(|steps: Vec<Step>| {
    let mut packed = Packed::new();
    let mut model: Vec<Vec<u8>> = Vec::new();
    for (what, place, bytes) in steps {
        let index = usize::from(place) % (model.len() + 1);
        let position = packed.skip(packed.start(), index);
        match what % 5 {
            0 => {
                packed.push(&bytes);
                model.push(bytes);
            }
            1 => {
                packed.insert(position, &bytes);
                model.insert(index, bytes);
            }
            2 if index < model.len() => {
                packed.replace(position, &bytes);
                model[index] = bytes;
            }
            3 => {
                let count = bytes.len().min(model.len() - index);
                packed.remove(position, count);
                model.drain(index..index + count);
            }
            4 => {
                let found = packed.find(&bytes, 1).map(|position| position.index);
                assert_eq!(found, model.iter().position(|element| *element == bytes));
            }
            _ => {}
        }
        assert_eq!(packed.len(), model.len());
    }
    assert_eq!(contents(&packed), model);
});

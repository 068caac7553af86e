//! Figures as lines of text, `name:value`, as INFO and CLUSTER INFO show them.

use std::fmt::Write;

use super::{Figure, Read, Row, Sight, Value};

impl Figure {
    /// Adds its lines to a text: one, one for each member of a family, or none where it does not exist.
    pub fn add_lines(&self, text: &mut String, at: &Sight<'_>) {
        match self.read {
            Read::One(read) => {
                let value = read(at);
                if value != Value::None {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{}:{value}\r\n", self.name);
                }
            }
            Read::Family(_, read) => {
                for row in read(at).iter().filter(|row| row.in_info) {
                    add_row(text, self.name, row);
                }
            }
            Read::Samples(_) => {}
        }
    }
}

fn add_row(text: &mut String, family: &str, row: &Row) {
    let _ = write!(text, "{family}{}:", row.name);
    for (place, (name, value)) in row.parts.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{name}={value}");
    }
    text.push_str("\r\n");
}

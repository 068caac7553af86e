//! Promises of the table as a whole.

use std::collections::HashSet;

use super::*;

fn all() -> impl Iterator<Item = &'static Figure> {
    SECTIONS.iter().flat_map(|section| section.figures).flat_map(|figures| *figures)
}

fn parts(figure: &Figure) -> &'static [Part] {
    match figure.read {
        Read::Family(parts, _) => parts,
        Read::One(_) | Read::Samples(_) => &[],
    }
}

#[test]
fn every_figure_is_explained_in_one_sentence_and_stands_in_the_documentation() {
    let page = markdown();
    for figure in all() {
        let own = (figure.name, figure.help);
        for (name, help) in parts(figure).iter().map(|part| (part.name, part.help)).chain([own]) {
            assert!(help.len() > 10 && help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            assert!(page.contains(&format!("| {} |", help.replace('|', "\\|"))), "{name} is in the page");
            let shown = figure.export.map_or(name, |export| export.name);
            assert!(page.contains(name) || page.contains(shown), "{name} is in the page");
        }
    }
    assert!(all().count() > 250, "the table was found");
}

#[test]
fn names_are_unlike_and_those_of_metrics_well_formed() {
    let mut fields = HashSet::new();
    let mut metrics = HashSet::new();
    for figure in all() {
        assert!(fields.insert(figure.name), "{} twice", figure.name);
        let exports = parts(figure).iter().filter_map(|part| part.export).chain(figure.export);
        for export in exports {
            assert!(metrics.insert(export.name), "{} twice", export.name);
            let word = export.name.strip_prefix("redis_").or_else(|| export.name.strip_prefix("kvarts_"));
            let word = word.unwrap_or_else(|| panic!("{} has no prefix", export.name));
            assert!(word.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_'), "{word}");
            if export.name.starts_with("kvarts_") {
                let is_counter = export.kind.unwrap_or(figure.kind) == Kind::Counter;
                assert_eq!(
                    word.ends_with("_total"),
                    is_counter,
                    "{word}: counters end in _total, and only they"
                );
            }
        }
    }
}

#[test]
fn sizes_for_people_have_three_digits_and_a_unit() {
    for (bytes, shown) in
        [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1 << 20, "1.00M"), (u64::MAX, "16384.00P")]
    {
        assert_eq!(Value::Human(bytes).to_string(), shown);
    }
}

#[test]
fn numbers_are_those_that_info_shows() {
    assert_eq!(Value::Fixed(1.714_159, 2).number(), Some(1.71));
    assert_eq!(Value::status(true).number(), Some(0.0));
    assert_eq!(Value::seconds(None).number(), Some(-1.0));
    assert_eq!(Value::from("text").number(), None);
    assert_eq!(Value::None.number(), None);
}

// SPDX-License-Identifier: GPL-2.0

//! Short names of functions. The kernel shows them in stack traces, and a mangled name can be
//! longer than a symbol that the kernel accepts.

use object::{
    build::elf::{
        Builder,
        SymbolId, //
    },
    elf, //
};
use rustc_demangle::try_demangle;

use crate::refusal::Refusal;

/// Start of every short name.
const PREFIX: &str = "kwe.";

/// Maximum length of a label: two identifiers, with a dot between them.
const LABEL_LEN: usize = 28;

/// Start of a name with v0 mangling.
const MANGLED: &[u8] = b"_R";

/// Renames each function of `object` that has a mangled name to `kwe.LABEL.NUMBER`. Returns these
/// functions.
///
/// # Errors
///
/// [`Refusal::Name`] if a name cannot be demangled.
pub(crate) fn shorten(object: &mut Builder<'_>) -> Result<Vec<SymbolId>, Refusal> {
    let mut functions = Vec::new();
    for symbol in &mut object.symbols {
        if symbol.st_type() != elf::STT_FUNC || symbol.section.is_none() || !symbol.name.starts_with(MANGLED) {
            continue;
        }
        let label = label(&symbol.name).ok_or_else(|| Refusal::Name { symbol: symbol.name.to_string() })?;
        symbol.name = format!("{PREFIX}{label}.{}", functions.len()).into_bytes().into();
        functions.push(symbol.id());
    }
    Ok(functions)
}

/// Returns the label of a mangled name: the last two identifiers of its path, joined by a dot. If
/// they are too long, first the end of the first identifier is cut off, then that of the second
/// one. Returns None if `mangled` cannot be demangled.
fn label(mangled: &[u8]) -> Option<String> {
    // The alternate form omits the hashes of crates.
    let path = format!("{:#}", try_demangle(str::from_utf8(mangled).ok()?).ok()?);
    let mut identifiers = Vec::new();
    collect_identifiers(&path, &mut identifiers);
    let mut last = identifiers.into_iter().rev();
    let (name, parent) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
    let room = LABEL_LEN.saturating_sub(name.len() + 1);
    Some(format!("{parent:.room$}.{name:.LABEL_LEN$}").trim_start_matches('.').to_owned())
}

/// Appends the identifiers of a path to `identifiers`. For `<Type as Trait>::method` these are the
/// identifiers of the type and the method. Generic arguments and closures are left out.
fn collect_identifiers<'path>(path: &'path str, identifiers: &mut Vec<&'path str>) {
    let mut rest = path;
    if rest.starts_with('<') {
        let (qualified, after) = split_group(rest, '<', '>');
        collect_identifiers(self_type(qualified), identifiers);
        rest = after;
    }
    while let Some(first) = rest.chars().next() {
        if first == '<' {
            (_, rest) = split_group(rest, '<', '>');
        } else if first == '{' {
            (_, rest) = split_group(rest, '{', '}');
        } else if is_word(first) {
            let (word, after) = rest.split_at(rest.find(|character| !is_word(character)).unwrap_or(rest.len()));
            if word.is_ascii() && !first.is_ascii_digit() {
                identifiers.push(word);
            }
            rest = after;
        } else {
            (_, rest) = rest.split_at(first.len_utf8());
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the part of `qualified`, the inside of `<Type as Trait>`, before ` as `.
fn self_type(qualified: &str) -> &str {
    let mut rest = qualified;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with(" as ") {
            return &qualified[..qualified.len() - rest.len()];
        }
        rest = if first == '<' { split_group(rest, '<', '>').1 } else { &rest[first.len_utf8()..] };
    }
    qualified
}

/// Splits `text`, which starts with `open`, at the matching `close`. Returns the text between the
/// two and the text after `close`. The `>` of `->` does not count as `close`.
fn split_group(text: &str, open: char, close: char) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut previous = ' ';
    for (index, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close && !(close == '>' && previous == '-') {
            depth -= 1;
            if depth == 0 {
                return (&text[open.len_utf8()..index], &text[index + close.len_utf8()..]);
            }
        }
        previous = character;
    }
    (&text[open.len_utf8()..], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_object::TestObject;

    fn identifiers(path: &str) -> Vec<&str> {
        let mut identifiers = Vec::new();
        collect_identifiers(path, &mut identifiers);
        identifiers
    }

    #[test]
    fn a_path_has_its_identifiers() {
        assert_eq!(identifiers("engine::heap::free"), ["engine", "heap", "free"]);
        assert_eq!(identifiers("free"), ["free"]);
        assert_eq!(identifiers(""), [""; 0]);
    }

    #[test]
    fn generic_arguments_have_no_identifiers() {
        assert_eq!(identifiers("core::ptr::drop_in_place::<engine::Module>"), ["core", "ptr", "drop_in_place"]);
        assert_eq!(identifiers("a::b::<c::<d>, fn(e) -> f>::g"), ["a", "b", "g"]);
        assert_eq!(identifiers("a::b::<{c::D { e: 1 }}>::f"), ["a", "b", "f"]);
    }

    #[test]
    fn a_method_has_the_identifiers_of_its_type() {
        assert_eq!(identifiers("<heap::Account>::close"), ["heap", "Account", "close"]);
        assert_eq!(identifiers("<heap::Account as core::ops::Drop>::drop"), ["heap", "Account", "drop"]);
        assert_eq!(identifiers("<heap::Of<<A as B>::C> as D<E>>::f::<G>"), ["heap", "Of", "f"]);
        assert_eq!(identifiers("<<A as B>::C as D>::e"), ["A", "C", "e"]);
        assert_eq!(identifiers("<[u8; 4] as D>::e"), ["u8", "e"]);
        assert_eq!(identifiers("<fn(a::A) -> b::B as D>::e"), ["fn", "a", "A", "b", "B", "e"]);
    }

    #[test]
    fn closures_and_words_outside_ascii_have_no_identifiers() {
        assert_eq!(identifiers("a::b::{closure#0}::{shim:vtable#1}"), ["a", "b"]);
        assert_eq!(identifiers("a::größe::b"), ["a", "b"]);
    }

    #[test]
    fn an_unfinished_group_ends_with_the_path() {
        assert_eq!(identifiers("a::<b"), ["a"]);
        assert_eq!(identifiers("<a::b"), ["a", "b"]);
    }

    #[test]
    fn the_label_is_the_last_two_identifiers() {
        assert_eq!(label(b"_RNvNtCs1234_7mycrate3foo3bar").as_deref(), Some("foo.bar"));
        assert_eq!(label(b"_RNvC7mycrate3bar").as_deref(), Some("mycrate.bar"));
        assert_eq!(label(b"_RC7mycrate").as_deref(), Some("mycrate"));
    }

    #[test]
    fn the_label_has_28_characters_at_most_first_of_the_last_identifier() {
        let long = |parent: usize, name: usize| {
            let (parent, name) = ("p".repeat(parent), "n".repeat(name));
            label(format!("_RNvNtC1c{}{parent}{}{name}", parent.len(), name.len()).as_bytes()).unwrap()
        };
        assert_eq!(long(20, 7), format!("{}.{}", "p".repeat(20), "n".repeat(7)));
        assert_eq!(long(24, 8), format!("{}.{}", "p".repeat(19), "n".repeat(8)));
        assert_eq!(long(24, 26), format!("p.{}", "n".repeat(26)));
        assert_eq!(long(24, 27), "n".repeat(27));
        assert_eq!(long(24, 40), "n".repeat(28));
    }

    #[test]
    fn each_mangled_function_gets_its_own_name() {
        let mut test = TestObject::new();
        test.function("_RNvC7mycrate3bar", &[0xc3]);
        test.function("_RNvC7mycrate3baz", &[0xc3]);
        test.function("kwasmi_plain", &[0xc3]);
        test.data("_RNvC7mycrate4DATA", &[0]);
        test.undefined("_RNvC7mycrate5extern");
        let bytes = test.write();
        let mut object = Builder::read(bytes.as_slice()).unwrap();
        let functions = shorten(&mut object).unwrap();
        assert_eq!(functions.len(), 2);
        let names: Vec<_> = functions.iter().map(|id| object.symbols.get(*id).name.to_string()).collect();
        assert_eq!(names, ["kwe.mycrate.bar.0", "kwe.mycrate.baz.1"]);
        for name in ["kwasmi_plain", "_RNvC7mycrate4DATA", "_RNvC7mycrate5extern"] {
            assert!(object.symbols.iter().any(|symbol| *symbol.name == *name.as_bytes()), "{name} is gone");
        }
    }

    #[test]
    fn a_function_whose_name_cannot_be_demangled_is_refused() {
        let mut test = TestObject::new();
        test.function("_Rubbish", &[0xc3]);
        let bytes = test.write();
        let refusal = shorten(&mut Builder::read(bytes.as_slice()).unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), "_Rubbish: the name cannot be demangled");
    }
}

//! Columns of text: no lines, no colours, and no wrapping, so that it can be read by people and by `awk`.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with a header. Nothing is ever cut or wrapped.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values, one a line.
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
    let line = |(name, value): &(&str, String)| {
        let name = format!("{name}:");
        // What follows the first line of a value stands under it.
        let value = value.replace('\n', &format!("\n{:width$}  ", ""));
        format!("{name:width$}  {value}")
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blank_end() {
        let rows = [["web".to_owned(), "5".to_owned()], ["a-longer-one".to_owned(), String::new()]];
        expect![[r#"
            ID            SIZE
            web           5
            a-longer-one"#]]
        .assert_eq(&table(["ID", "SIZE"], rows));
    }

    #[test]
    fn values_of_several_lines_stand_under_each_other() {
        expect![[r#"
            ID:       web
            Waiting:  a
                      b"#]]
        .assert_eq(&fields([("ID", "web".to_owned()), ("Waiting", "a\nb".to_owned())]));
    }
}

//! Reads the machine's apt sources, in both of their formats, to learn which mirror it uses. Changes none.

use std::{fs, path::Path};

const KEYRING_NAME: &str = "debian-archive-keyring";

/// One configured source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

/// The mirrors of the distribution itself, the likeliest first: those that name Debian's keyring, then those that name none.
///
/// Another vendor's source can carry the same suite name; it names its own key and is left out.
pub(crate) fn debian_mirrors(codename: &str) -> Vec<String> {
    mirrors_among(&configured(Path::new("/etc/apt")), codename)
}

fn mirrors_among(sources: &[Source], codename: &str) -> Vec<String> {
    let of_distribution = |source: &&Source| {
        source.suites.iter().any(|suite| suite == codename)
            && source.components.iter().any(|component| component == "main")
    };
    let (named, others): (Vec<&Source>, Vec<&Source>) =
        sources.iter().filter(of_distribution).partition(|source| source.signed_by.contains(KEYRING_NAME));
    let unnamed = others.into_iter().filter(|source| source.signed_by.is_empty());
    let uris = named.into_iter().chain(unnamed).flat_map(|source| source.uris.iter());
    let mut mirrors: Vec<String> = Vec::new();
    for uri in uris {
        if !uri.starts_with("cdrom:") && !mirrors.contains(uri) {
            mirrors.push(uri.clone());
        }
    }
    mirrors
}

fn configured(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    if let Ok(text) = fs::read_to_string(folder.join("sources.list")) {
        sources.extend(parse_one_line(&text));
    }
    let Ok(entries) = fs::read_dir(folder.join("sources.list.d")) else { return sources };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_one_line(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            Some(_) | None => {}
        }
    }
    sources
}

/// `deb [signed-by=… arch=…] URI suite component…`
fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| parse_line(line.split('#').next()?)).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb-src ").or_else(|| line.trim().strip_prefix("deb "))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(String::from);
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.unwrap_or_default().to_owned(),
    })
}

/// Stanzas of `Field: value`, where a line that starts with a space continues the one before.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut stanzas = vec![Vec::<(String, String)>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let stanza = stanzas.last_mut().expect("there is always one, and none is removed");
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            stanza.push((field.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas.iter().filter_map(|stanza| source_of(stanza)).collect()
}

fn source_of(stanza: &[(String, String)]) -> Option<Source> {
    let field = |name: &str| stanza.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    let words = |name: &str| field(name).split_whitespace().map(String::from).collect::<Vec<_>>();
    let disabled = field("enabled").eq_ignore_ascii_case("no");
    if disabled || words("uris").is_empty() {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{mirrors_among, parse_deb822, parse_one_line};

    const DEB822: &str = "\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://vendor.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
";

    #[test]
    fn the_distributions_own_mirror_is_found_in_a_deb822_file() {
        assert_eq!(mirrors_among(&parse_deb822(DEB822), "bookworm"), ["http://mirror.example/debian"]);
    }

    #[test]
    fn the_distributions_own_mirror_is_found_in_a_one_line_file() {
        let text = "# deb http://commented.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/etc/vendor.gpg] http://vendor.example/debian bookworm main\n\
                    deb cdrom:[disc]/ bookworm main\n\
                    deb http://mirror.example/debian bookworm main contrib # ours\n\
                    deb-src [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://named.example/debian bookworm main\n";
        let mirrors = mirrors_among(&parse_one_line(text), "bookworm");
        assert_eq!(mirrors, ["http://named.example/debian", "http://mirror.example/debian"]);
    }

    #[test]
    fn a_machine_without_such_a_source_has_no_mirror() {
        assert!(mirrors_among(&parse_one_line("deb http://mirror.example/debian sid main"), "bookworm").is_empty());
    }
}

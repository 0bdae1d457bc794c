import { Download } from "../download";

const FORMS: [string, string, string][] = [
  ["zip", "Everything, as files (ZIP)", "antiphon.zip"],
  ["json", "Everything, for another server (JSON)", "antiphon.json"],
];

/** Taking along everything of one's own. */
export function Own() {
  return (
    <section>
      <p>All your conversations with all their branches. It is made while it is sent, so it may take a while.</p>
      <div className="row downloads">
        {FORMS.map(([format, text, name]) => (
          <Download key={format} path={`/v1/export?format=${format}`} name={name}>
            {text}
          </Download>
        ))}
      </div>
    </section>
  );
}

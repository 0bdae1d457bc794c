import { setTheme, useTheme, type Theme } from "../../state/theme";

const ALL: [Theme, string][] = [
  ["system", "As this device is set"],
  ["light", "Light"],
  ["dark", "Dark"],
];

/** Light or dark, remembered in this browser. */
export function Appearance() {
  const theme = useTheme();
  return (
    <fieldset className="choices">
      <legend className="note">Colours, remembered in this browser</legend>
      {ALL.map(([value, text]) => (
        <label className="check" key={value}>
          <input type="radio" name="theme" checked={theme === value} onChange={() => setTheme(value)} />
          {text}
        </label>
      ))}
    </fieldset>
  );
}

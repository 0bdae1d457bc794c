const KEYS: [string, string][] = [
  ["Enter", "send the message"],
  ["Shift + Enter", "a new line"],
  ["Escape", "stop the answer, or close what is open"],
  ["Ctrl or ⌘ + Shift + O", "a new chat"],
  ["Ctrl or ⌘ + Shift + S", "show or hide the list of conversations"],
  ["Ctrl or ⌘ + K", "search"],
  ["Ctrl or ⌘ + /", "this page"],
  ["/", "go to where one writes"],
];

/** Every key that does something. */
export default function Keyboard() {
  return (
    <div className="view">
      <h1>Keyboard</h1>
      <dl className="keys">
        {KEYS.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** Has the browser say what a button with nothing but a picture does, to whoever points at it. */
export function tellNames(): void {
  document.addEventListener("pointerover", (event) => {
    const button = (event.target as Element).closest?.("button.icon, button.send");
    const name = button?.getAttribute("aria-label");
    if (name) button!.setAttribute("title", name);
  });
}

import type { Unstable_TriggerAdapter, Unstable_TriggerItem } from "@assistant-ui/core";
import { ComposerPrimitive } from "@assistant-ui/react";
import { useMemo } from "react";
import { promptsLike, usePrompts, type Prompt } from "../state/prompts";

const Popover = ComposerPrimitive.Unstable_TriggerPopover;
const PREVIEW = 80;
/** The text of a prompt takes the place of what was typed to find it. */
const inserting = { serialize: (item: Unstable_TriggerItem) => String(item.metadata?.text), parse: () => [] };

/** The prompts one has kept, above where one writes, while a message is `/` and some letters of a name. */
export function Prompts() {
  const list = usePrompts();
  const adapter = useMemo<Unstable_TriggerAdapter>(
    () => ({ categories: () => [], categoryItems: () => [], search: (letters) => promptsLike(list, letters).map(itemOf) }),
    [list],
  );
  // Where nothing would be shown the keys are the message's own: Enter sends it.
  const matcher = (text: string, _: string, caret: number) => {
    const query = text.slice(1, caret);
    const found = text.startsWith("/") && caret > 0 && !query.includes("\n") && promptsLike(list, query).length > 0;
    return found ? { query, offset: 0, endOffset: caret } : null;
  };
  return (
    <Popover char="/" adapter={adapter} matcher={matcher} className="prompts" aria-label="Prompts">
      <Popover.Directive formatter={inserting} />
      <ComposerPrimitive.Unstable_TriggerPopoverItems aria-label="Prompts">
        {(items) =>
          items.map((item) => (
            <ComposerPrimitive.Unstable_TriggerPopoverItem key={item.id} item={item} className="menu-item">
              <span>/{item.label}</span>
              <small>{item.description}</small>
            </ComposerPrimitive.Unstable_TriggerPopoverItem>
          ))
        }
      </ComposerPrimitive.Unstable_TriggerPopoverItems>
    </Popover>
  );
}

function itemOf({ name, text }: Prompt): Unstable_TriggerItem {
  const description = text.replace(/\s+/g, " ").slice(0, PREVIEW);
  return { id: name, type: "prompt", label: name, description, metadata: { text } };
}

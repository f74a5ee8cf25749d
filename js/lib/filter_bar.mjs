/** The controls above the grid of pictures: by state, category, problem and words, with counts. */

import { button, element, replaceChildren, setText } from "./dom.mjs";
import { categoryChoices, EVERYTHING, problemChoices, STATE_FILTERS } from "./picture_filters.mjs";

/** The bar; `wanted` is the filter it stands for. */
export class FilterBar {
  /**
   * @param {Object} options
   * @param {() => void} options.onChange: another filter holds.
   * @param {() => Promise<void>} options.onCheck: have the pictures checked.
   * @param {() => void} options.onLeave: the search is left by Escape.
   */
  constructor({ onChange, onCheck, onLeave }) {
    this.wanted = { ...EVERYTHING };
    this.onChange = onChange;
    this.states = STATE_FILTERS.map(({ key }) =>
      button("", {
        class: "scoft-tab",
        "data-filter": key,
        on: { click: () => this.choose("state", key) },
      }),
    );
    this.category = this.select("category", "Category");
    this.problem = this.select("problem", "Problem");
    this.search = element("input", {
      class: "scoft-input scoft-search",
      type: "search",
      dir: "auto",
      placeholder: "Search captions",
      "aria-label": "Search captions",
      on: {
        input: () => this.choose("text", this.search.value),
        keydown: (event) => this.leaveSearch(event, onLeave),
      },
    });
    this.shown = element("span", { class: "scoft-muted scoft-shown" });
    this.element = element(
      "div",
      { class: "scoft-toolbar", role: "search", "aria-label": "Pictures" },
      element("div", { class: "scoft-tabs", role: "group", "aria-label": "Show" }, ...this.states),
      this.category,
      this.problem,
      this.search,
      this.checkButton(onCheck),
      this.shown,
    );
  }

  select(key, label) {
    const select = element("select", {
      class: "scoft-select",
      "aria-label": label,
      on: { change: () => this.choose(key, select.value) },
    });
    return select;
  }

  checkButton(onCheck) {
    const check = button("Check pictures", {
      title: "Look for blurred, very small and similar pictures",
      on: {
        click: async () => {
          check.setAttribute("aria-disabled", "true");
          setText(check, "Checking …");
          await onCheck();
          check.removeAttribute("aria-disabled");
          setText(check, "Check pictures");
        },
      },
    });
    // Not `disabled`, which would take the focus away.
    check.addEventListener(
      "click",
      (event) => {
        if (check.hasAttribute("aria-disabled")) event.stopImmediatePropagation();
      },
      { capture: true },
    );
    return check;
  }

  choose(key, value) {
    this.wanted[key] = value;
    this.press();
    this.onChange();
  }

  press() {
    for (const tab of this.states) {
      tab.setAttribute("aria-pressed", String(tab.dataset.filter === this.wanted.state));
    }
  }

  /** Count the rows of each choice. What is chosen stays, even with no row left. */
  count(rows, categories) {
    this.states.forEach((tab, index) => {
      const { label, matches } = STATE_FILTERS[index];
      setText(tab, `${label} ${rows.filter(matches).length}`);
    });
    this.press();
    this.offer(this.category, categoryChoices(rows, categories), this.wanted.category);
    this.offer(this.problem, problemChoices(rows), this.wanted.problem);
  }

  offer(select, choices, chosen) {
    const all = choices.some(({ value }) => value === chosen)
      ? choices
      : [
          ...choices,
          { value: chosen, label: select.selectedOptions[0].label.replace(/\(\d+\)$/, "(0)") },
        ];
    const options = all.map(({ value, label }) => element("option", { value, text: label }));
    replaceChildren(select, ...options);
    select.value = chosen;
  }

  /** Say how many rows are shown. */
  tell(shown, all) {
    setText(this.shown, shown === all ? `${all} shown` : `${shown} of ${all} shown`);
  }

  focusSearch() {
    this.search.focus();
    this.search.select();
  }

  leaveSearch(event, onLeave) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      if (this.search.value) {
        this.search.value = "";
        this.choose("text", "");
      } else onLeave();
    } else if (event.key === "Enter") onLeave();
    else return;
    event.preventDefault();
  }
}

/** The form that edits what is said of one picture; nothing typed is lost by what comes in. */

import { button, element, replaceChildren } from "./dom.mjs";
import { categoryName, eraName, FIELD_NAMES } from "./words.mjs";

const LICENCES = ["CC0 1.0", "CC BY 4.0", "CC BY-SA 4.0", "CC BY-NC 4.0", "used with permission"];
const CONSENTS = { "": "not stated", yes: "yes", no: "no", words: "in words" };

/** The form of the row last given to `show`. */
export class RowForm {
  /**
   * @param {Object} options
   * @param {string[]} options.categories: slugs.
   * @param {string[]} options.eras
   * @param {string} options.language: of the cultural captions, as an attribute.
   * @param {() => void} options.onInput: something was typed or chosen.
   * @param {(field: string) => void} options.onTakeBack: the dataset's own value is wanted.
   */
  constructor({ categories, eras, language, onInput, onTakeBack }) {
    this.onTakeBack = onTakeBack;
    this.fields = {
      caption: textField({ rows: 3, lang: language }),
      generic_captions: listField(),
      category: choiceField(categories, categoryName),
      era: choiceField(eras, eraName),
      credit: textField({}),
      licence: licenceField(),
      consent: consentField(),
    };
    this.boxes = Object.entries(this.fields).map(([name, field]) => this.box(name, field));
    this.element = element("div", { class: "scoft-form" }, ...this.boxes);
    for (const kind of ["input", "change"]) this.element.addEventListener(kind, onInput);
  }

  /** Show another row; what the form held is gone. */
  show(row) {
    for (const [name, field] of Object.entries(this.fields)) {
      field.fill(row[name], row);
      field.base = field.read();
    }
    this.mark(row);
  }

  /**
   * Bring the form to a changed row: fields that someone typed into stay as they are.
   *
   * @param {Object} saved: the changes that the server just took, which are typed no longer.
   */
  update(row, saved = {}) {
    for (const [name, field] of Object.entries(this.fields)) {
      const isSaved = name in saved && same(field.read(), saved[name]);
      if (isSaved || same(field.read(), field.base)) {
        field.fill(row[name], row);
        field.base = field.read();
      }
    }
    this.mark(row);
  }

  /** Return what was changed and not saved, as the server takes it. */
  changes() {
    const changed = Object.entries(this.fields).filter(
      ([, field]) => !same(field.read(), field.base),
    );
    return Object.fromEntries(changed.map(([name, field]) => [name, field.read()]));
  }

  /** Give the focus to a field. */
  focus(name = "caption") {
    const { control } = this.fields[name];
    control.focus();
    if (control.select) control.setSelectionRange(control.value.length, control.value.length);
  }

  box(name, field) {
    const id = `scoft-field-${name}`;
    field.control.id = id;
    const words = FIELD_NAMES[name];
    const label = words.charAt(0).toUpperCase() + words.slice(1);
    field.own = button("Use the dataset's own", {
      class: "scoft-button scoft-small",
      "aria-label": `Use the dataset's own ${words}`,
      on: {
        click: () => {
          // The button leaves with the mark, the focus must not.
          field.control.focus();
          this.onTakeBack(name);
        },
      },
    });
    field.mark = element("p", { class: "scoft-edited", hidden: true }, "✎ changed here", field.own);
    return element(
      "div",
      { class: "scoft-field", "data-field": name },
      element("label", { for: id, text: label }),
      field.hint ? element("p", { class: "scoft-muted scoft-hint", text: field.hint }) : null,
      ...(field.controls ?? [field.control]),
      field.mark,
    );
  }

  mark(row) {
    for (const [name, field] of Object.entries(this.fields)) {
      field.mark.hidden = !row.edited.includes(name);
    }
  }
}

function textField({ rows = 1, lang = null }) {
  const control = element("textarea", { class: "scoft-input", dir: "auto", rows, lang });
  return {
    control,
    // An emptied field states that there is none; an empty caption is for the server to refuse.
    read: () => control.value.replaceAll(/\s+/g, " ").trim(),
    fill: (value) => {
      control.value = value ?? "";
    },
  };
}

function listField() {
  const control = element("textarea", { class: "scoft-input", dir: "auto", rows: 3 });
  return {
    control,
    hint: "One on each line: what is seen, naming no people or country.",
    read: () =>
      control.value
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean),
    fill: (values) => {
      control.value = values.join("\n");
    },
  };
}

function licenceField() {
  const id = "scoft-licences";
  const control = element("input", { class: "scoft-input", type: "text", dir: "auto", list: id });
  const names = LICENCES.map((name) => element("option", { value: name }));
  return {
    control,
    controls: [control, element("datalist", { id }, ...names)],
    read: () => control.value.trim(),
    fill: (value) => {
      control.value = value ?? "";
    },
  };
}

function choiceField(values, nameOf) {
  const control = element("select", { class: "scoft-select" });
  return {
    control,
    read: () => control.value,
    fill: (value, row) => {
      // A guess is no statement yet: choosing the same category states it.
      const guessed =
        row.category_guessed && values.includes(row.category) && value === row.category;
      const none = guessed ? `${nameOf(value)} (guessed from the file name)` : "not stated";
      const options = values.map((one) => element("option", { value: one, text: nameOf(one) }));
      const blank = element("option", { value: "", text: none });
      replaceChildren(control, blank, ...options);
      control.value = guessed ? "" : (value ?? "");
    },
  };
}

function consentField() {
  const offered = Object.entries(CONSENTS).map(([value, text]) =>
    element("option", { value, text }),
  );
  const control = element("select", { class: "scoft-select" }, ...offered);
  const words = element("input", {
    class: "scoft-input",
    type: "text",
    dir: "auto",
    "aria-label": "Consent in words",
  });
  const show = () => {
    words.hidden = control.value !== "words";
  };
  control.addEventListener("change", show);
  return {
    control,
    controls: [control, words],
    hint: "Of the people shown and of the photographer.",
    read: () => {
      if (control.value === "words") return words.value.trim();
      return { yes: true, no: false }[control.value] ?? "";
    },
    fill: (value) => {
      const isText = typeof value === "string" && value !== "";
      control.value = isText ? "words" : value === true ? "yes" : value === false ? "no" : "";
      words.value = isText ? value : "";
      show();
    },
  };
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

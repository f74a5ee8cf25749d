"""The survey's page: text stays text, and answers leave it only as somebody asks."""

import html
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest
from made_survey_page import made_data
from survey_filling import begun, check_file, opened, saved, to_overview, unharmed

from scoft_training.survey_html import survey_html
from scoft_training.survey_texts import survey_texts

ENGLISH = survey_texts("en").texts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "survey.html"


ATTACK = "<script>globalThis.harmed = 1</script><img src=x onerror='harmed = 1'>\"'&amp;"


TURNED = "\u202eturned round\u2066 and never back"


def test_what_somebody_wrote_is_text_wherever_it_stands(browser, path):
    data = made_data(
        title=ATTACK,
        culture=ATTACK,
        about=[ATTACK],
        consent=[TURNED],
        contact=ATTACK,
        form_target="https://example.org/<b>",
    )
    data["pages"] = [{**one, "prompt": ATTACK, "translation": TURNED} for one in data["pages"]]
    with opened(browser, path, data) as page:
        assert page.title() == ATTACK
        assert page.locator("h1").inner_text() == ATTACK
        begun(page, culture=ATTACK)
        assert page.locator("blockquote").inner_text() == ATTACK
        translation = page.locator(".prompt > p[dir=auto]")
        assert translation.inner_text() == TURNED
        assert translation.evaluate("one => getComputedStyle(one).unicodeBidi") in (
            "isolate",
            "plaintext",
        )
        to_overview(page)
        assert ATTACK in page.locator(".overview").inner_text()
        name, file = saved(page)
        check_file(name, file, data)
        assert file["declared"]["culture"] == ATTACK
        assert page.locator("script").count() == 2
        assert page.locator("#survey img[src=x], #survey b").count() == 0
        assert page.evaluate("globalThis.harmed") is None
        assert unharmed(page, path)


def test_the_policy_stops_what_would_get_in_all_the_same(browser, path):
    with opened(browser, path, made_data()) as page:
        page.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "globalThis.harmed = 1";
            const image = document.createElement("img");
            image.src = "https://example.org/x.png";
            document.body.append(script, image);
        }""")
        page.wait_for_timeout(200)
        assert page.evaluate("globalThis.harmed") is None
        assert len(page.wrong) == 2
        assert all("Content Security Policy" in one for one in page.wrong)


def test_nothing_on_the_page_tells_pictures_apart(browser, path):
    data = made_data()
    with opened(browser, path, data) as page:
        begun(page)
        for at in range(4):
            page.locator(".pick").nth(at).click()
        markup = page.locator("#survey").evaluate(
            "one => one.outerHTML.replace(/data:image[^\"]*/g, '')"
        )
        for one in data["pictures"]:
            assert one not in markup
        assert set(page.locator("img").evaluate_all("all => all.map(one => one.alt)")) == {""}


def test_answers_can_be_copied_as_text(browser, path):
    with opened(browser, path, made_data(), permissions=["clipboard-write"]) as page:
        begun(page)
        page.locator(".pick").nth(1).click()
        to_overview(page)
        page.fill("#last-word", "all well, \U0001f642")
        page.get_by_text(ENGLISH["end.copy_heading"]).click()
        page.get_by_role("button", name=ENGLISH["end.copy"]).click()
        page.get_by_text(ENGLISH["end.copied"]).first.wait_for()
        _, file = saved(page)
        assert json.loads(page.locator("#as-text").input_value()) == file
        assert file["comment"] == "all well, \U0001f642"
        # What is copied is what is answered now, not when the text was first shown.
        page.fill("#last-word", "one thing more")
        page.get_by_role("button", name=ENGLISH["end.copy"]).click()
        page.wait_for_function("document.activeElement.id === 'as-text'")
        assert json.loads(page.locator("#as-text").input_value())["comment"] == "one thing more"


def test_answers_are_marked_to_be_copied_where_the_clipboard_is_forbidden(browser, path):
    with opened(browser, path, made_data()) as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.reload()
        begun(page)
        to_overview(page)
        page.get_by_text(ENGLISH["end.copy_heading"]).click()
        for works, key in ((True, "end.copied"), (False, "end.copy_failed")):
            page.evaluate("works => { document.execCommand = () => works; }", works)
            page.get_by_role("button", name=ENGLISH["end.copy"]).click()
            page.get_by_text(ENGLISH[key]).first.wait_for()
            field = "one => one.selectionEnd - one.selectionStart === one.value.length"
            assert page.locator("#as-text").evaluate(field)


def test_the_page_works_inside_a_closed_preview(browser, path, tmp_path):
    data = made_data()
    outer = tmp_path / "preview.html"
    outer.write_text(
        '<iframe sandbox="allow-scripts allow-downloads" style="width: 900px; height: 700px" '
        f'srcdoc="{html.escape(survey_html(data))}"></iframe>',
        encoding="utf-8",
    )
    with opened(browser, path, data) as page:
        page.goto(outer.as_uri())
        inside = page.frames[1]
        assert inside.locator("[role=alert]").inner_text() == ENGLISH["memory.blocked"]
        inside.check("#agree")
        inside.fill("#culture", "Aruna")
        inside.locator("#culture").press("Enter")
        inside.locator(".pick").nth(2).click()
        with page.expect_download() as waiting:
            inside.get_by_role("button", name=ENGLISH["memory.save_now"]).click()
        file = json.loads(waiting.value.path().read_text(encoding="utf-8"))
        check_file(waiting.value.suggested_filename, file, data)
        assert list(file["pages"][0]["items"]["alignment"]["ranks"].values()) == [1]
        assert page.wrong == []


SHARING = """Object.assign(Navigator.prototype, {
  canShare: ({ files }) => files.every(({ type }) => type === "application/json"),
  share: async ({ files: [file] }) => {
    globalThis.shared = [file.name, await file.text()];
    throw new DOMException("changed their mind", "AbortError");
  },
});"""


def test_the_device_s_own_sharing_gets_the_file_where_it_takes_files(browser, path):
    with opened(browser, path, made_data()) as page:
        begun(page)
        to_overview(page)
        assert page.get_by_role("button", name=ENGLISH["end.share"]).count() == 0
        page.add_init_script(SHARING)
        page.reload()
        page.fill("#last-word", "after all")
        page.get_by_role("button", name=ENGLISH["end.share"]).click()
        page.wait_for_function("globalThis.shared")
        name, file = saved(page)
        shared = page.evaluate("globalThis.shared")
        assert [shared[0], json.loads(shared[1])] == [name, file]
        assert file["comment"] == "after all"
        assert page.wrong == []


def test_the_last_step_says_where_to_send_the_file(browser, path):
    with opened(browser, path, made_data(contact="")) as page:
        begun(page)
        to_overview(page)
        name, _ = saved(page)
        assert name in page.locator(".saved").inner_text()
        assert ENGLISH["contact.unknown"] in page.locator(".overview").inner_text()
        assert page.get_by_role("button", name="Send to").count() == 0
    with opened(browser, path, made_data(contact="Mina (survey@example.org).")) as page:
        begun(page)
        to_overview(page)
        assert "Mina (survey@example.org)." in page.locator(".overview").inner_text()
        link = page.get_by_role("link", name="survey@example.org")
        assert link.get_attribute("href") == "mailto:survey@example.org"


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body.decode()))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"thank you")

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_form_is_sent_after_asking_and_never_before(browser, path, receiver):
    target = f"http://127.0.0.1:{receiver.server_port}/in?survey=1"
    with opened(browser, path, made_data(form_target=target), offline=False) as page:
        begun(page)
        page.locator(".pick").nth(1).click()
        to_overview(page)
        _, file = saved(page)
        button = page.get_by_role("button", name="Send to")
        button.click()
        assert f"127.0.0.1:{receiver.server_port}" in page.locator("dialog").inner_text()
        page.get_by_role("button", name=ENGLISH["ask.cancel"]).click()
        page.wait_for_timeout(200)
        assert receiver.received == []
        button.click()
        with page.context.expect_page() as waiting:
            page.locator("dialog .primary").click()
        waiting.value.get_by_text("thank you").wait_for()
        ((where, body),) = receiver.received
        assert where == "/in?survey=1"
        assert json.loads(parse_qs(body, strict_parsing=True)["answers"][0]) == file
        assert page.get_by_text(ENGLISH["end.post_done"]).first.is_visible()
        assert page.wrong == []


def test_a_form_goes_nowhere_else(browser, path, receiver):
    target = f"http://localhost:{receiver.server_port}/"
    with opened(browser, path, made_data(form_target=target), offline=False) as page:
        page.evaluate(
            """address => {
            const form = document.createElement("form");
            Object.assign(form, { method: "post", action: address });
            document.body.append(form);
            form.submit();
        }""",
            f"http://127.0.0.1:{receiver.server_port}/",
        )
        page.wait_for_timeout(300)
        assert receiver.received == []
        assert any("form-action" in one for one in page.wrong)


def test_without_script_the_page_says_what_to_do(browser, path):
    with opened(browser, path, made_data("es"), java_script_enabled=False) as page:
        page.locator(".needs-script").wait_for(state="visible")
        assert page.locator("body").inner_text() == survey_texts("es").texts["page.needs_script"]


@pytest.mark.parametrize(
    ("culture", "part"),
    [
        ("M\u00e9xico / Oaxaca", "m\u00e9xico-oaxaca"),
        ("\ud55c\uad6d", "\ud55c\uad6d"),
        ("..", "survey"),
        # Letters of which JavaScript counts two each are not cut in half.
        ("a" + 70 * "\U0001e922", "a" + 59 * "\U0001e922"),
    ],
)
def test_the_files_name_has_the_cultures_own_letters_and_nothing_else(browser, path, culture, part):
    with opened(browser, path, made_data(culture=culture)) as page:
        begun(page)
        to_overview(page)
        name, file = saved(page)
        assert name == f"answers-{part}-{file['participant'][:8]}.json"

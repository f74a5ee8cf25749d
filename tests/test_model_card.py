"""The model card says what the header says, and survives what is missing or awkward."""

from scoft_training.model_card import model_card


def test_it_says_what_was_learned_from_whom():
    card = model_card(
        "korea",
        {
            "scoft.culture": "Korea",
            "modelspec.trigger_phrase": "in Korea",
            "ss_num_train_images": "33",
            "scoft.credits": '["A. Kim", "B. Lee"]',
            "scoft.licences": '["CC-BY-4.0"]',
            "scoft.category_counts": '{"food_drink": 7, "city": 0}',
            "scoft.final_losses": '{"ldm": 0.061234}',
        },
    )
    assert card.startswith("# korea\n")
    assert "Say `in Korea` at the end of a prompt." in card
    assert "| Pictures | 33 |" in card
    assert "| Credits | A. Kim; B. Lee |" in card
    assert "| food_drink | 7 |" in card
    assert "city" not in card
    assert "| ldm | 0.06123 |" in card


def test_a_bare_header_gives_a_short_card():
    card = model_card("x", {})
    assert "| Culture | not stated |" in card
    assert "Losses" not in card
    assert "Say" not in card


def test_what_would_break_the_table_is_escaped():
    card = model_card("x", {"scoft.culture": "a | b\nc"})
    assert "| Culture | a \\| b c |" in card


def test_a_loss_without_a_number_and_a_header_that_is_no_json_are_survived():
    card = model_card(
        "x",
        {
            "scoft.final_losses": '{"ldm": 0.5, "perceptual": null}',
            "scoft.credits": "[",
            "scoft.category_counts": '["food"]',
        },
    )
    assert "| ldm | 0.5 |" in card
    assert "| perceptual | not a number |" in card
    assert "Credits" not in card
    assert "What the pictures show" not in card


def test_it_says_whose_pictures_they_are_and_how_to_take_one_back():
    header = {
        "scoft.credit_groups": '[{"credit": "A. Kim", "licence": "", "pictures": 7}, 3]',
        "scoft.consent": '{"given": 6, "not stated": 1}',
        "scoft.picture_sha256": '["00"]',
        "scoft.contact": "archive@example.org",
    }
    card = model_card("korea", header)
    assert "| A. Kim | not stated | 7 |" in card
    assert "- given: 6\n- not stated: 1\n" in card
    assert "write to archive@example.org, and name the picture or its sha256" in card
    del header["scoft.contact"]
    assert "ask those who handed this LoRA on" in model_card("korea", header)


def test_words_of_others_stay_words():
    card = model_card("x", {"scoft.credits": '["<img src=x> [a](javascript:b)\\u202e"]'})
    assert "| Credits | \\<img src=x\\> \\[a\\](javascript:b) |" in card

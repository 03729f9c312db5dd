import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, ContactsError, RowError, read_contacts, write_rejects
from campaigns.places import place_of

HEADER = b"phone,name,day,time\n"


def read(campaign: Campaign, data: bytes) -> list[Contact | RowError]:
    return list(read_contacts(io.BytesIO(data), campaign))


def errors(campaign: Campaign, data: bytes) -> list[str]:
    return [str(row) for row in read(campaign, data) if isinstance(row, RowError)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_read_as_people_save_it(reminder: Campaign, ending: str, delimiter: str, bom: bytes) -> None:
    lines = [" phone , name,day,time,note", '(212) 555-0111,"Lovelace, Ada",Tuesday,nine,"two\nlines"']
    text = ending.join(line.replace(",", delimiter) for line in lines) + ending
    (contact,) = read(reminder, bom + text.encode())
    assert isinstance(contact, Contact)
    assert contact.phone == "+12125550111"
    assert contact.columns["name"] == f"Lovelace{delimiter} Ada"
    assert contact.columns["note"] == "two\nlines"


def test_line_numbers_are_those_of_an_editor(reminder: Campaign) -> None:
    data = HEADER + b'2125550111,"A\nB\nC",d,t\n\n12,B,d,t\n'
    assert errors(reminder, data) == ['line 6: phone: "12" is an emergency or short number']


@pytest.mark.parametrize(
    ("phone", "reason"),
    [
        ("+1555", "not a possible number"),
        ("911", "emergency or short"),
        ("+1 900 234 5678", "premium-rate"),
        ("800 234 5678", "toll-free"),
        ("212 555 0111 ext. 9", "extension"),
        ("hello", "not a telephone number"),
        ("+44 20 7946 0018", "is in GB"),
        ("", "not a telephone number"),
        ("9" * 100, "too long"),
    ],
)
def test_a_number_that_may_not_be_rung_is_refused_with_its_reason(reminder: Campaign, phone: str, reason: str) -> None:
    (error,) = errors(reminder, HEADER + f"{phone},A,d,t\n".encode())
    assert reason in error
    assert error.startswith("line 2: phone: ")


def test_a_duplicate_is_reported_against_its_first_line(reminder: Campaign) -> None:
    data = HEADER + b"(212) 555-0111,A,d,t\n212 555 0112,B,d,t\n+12125550111,C,d,t\n"
    assert errors(reminder, data) == ['line 4: phone: "+12125550111" is the same number as on line 2']


def test_a_row_without_what_the_templates_need_is_refused(reminder: Campaign) -> None:
    assert errors(reminder, HEADER + b"2125550111, ,d,t\n") == [
        """line 2: name: "" is empty, and the campaign's templates use it"""
    ]


def test_rows_of_another_width_and_other_encodings_are_refused_and_the_rest_is_read(reminder: Campaign) -> None:
    data = HEADER + b"2125550111,A,d\n2125550112,Fran\xe7ois,d,t\n2125550113,C\x00,d,t\n2125550114,D,d,t\n"
    rows = read(reminder, data)
    assert [type(row) for row in rows] == [RowError, RowError, RowError, Contact]


def test_a_time_zone_that_does_not_exist_is_refused(reminder: Campaign) -> None:
    (error,) = errors(reminder, b"phone,name,day,time,timezone\n2125550111,A,d,t,Mars/Olympus\n")
    assert "is not a time zone" in error


def test_a_time_zone_column_beats_the_number(reminder: Campaign) -> None:
    (contact,) = read(reminder, b"phone,name,day,time,timezone\n2125550111,A,d,t,Asia/Tokyo\n")
    assert isinstance(contact, Contact)
    assert place_of(contact).zones == ("Asia/Tokyo",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"name,day,time\n", "no column phone"),
        (b"phone,name\n", "use day, time"),
        (b"phone,name,name,day,time\n", "'name' more than once"),
        (b"phone,name,,day,time\n", "column 3 of the header has no name"),
        (b"phone,n\xe4me,day,time\n", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_contacts_is_refused_as_a_whole(reminder: Campaign, data: bytes, words: str) -> None:
    with pytest.raises(ContactsError, match=words):
        read_contacts(io.BytesIO(data), reminder)


def test_bad_rows_are_written_out_unchanged_with_the_reason(reminder: Campaign) -> None:
    reader = read_contacts(io.BytesIO(HEADER + b'12,"Lovelace, Ada",d,t\n2125550111,B\n'), reminder)
    found = [row for row in reader if isinstance(row, RowError)]
    file = io.StringIO()
    assert write_rejects(file, reader.header, found) == 2
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert rows[0] == {"phone": "12", "name": "Lovelace, Ada", "day": "d", "time": "t",
                       "reason": "phone is an emergency or short number"}  # fmt: skip
    assert rows[1]["reason"] == "has 2 fields, but the header has 4"


cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(rows=st.lists(st.lists(cell, min_size=4, max_size=4), max_size=8))
def test_every_row_of_any_table_is_accounted_for(reminder: Campaign, rows: list[list[str]]) -> None:
    file = io.StringIO()
    # Everything is quoted, because Python's writer does not quote a lone carriage return, and the file would be no CSV.
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["phone", "name", "day", "time"], *rows])
    found = read(reminder, file.getvalue().encode())
    assert len(found) == len([row for row in rows if any(row)])
